"""One hidden state for a row: padding on either side changes nothing, and no other place is read."""

import pytest
import torch

from zoo.heads.pooling import Pooling, PoolingName

NAMES: tuple[PoolingName, ...] = ("first", "last", "mean")
LENGTHS = (5, 3, 1)


def rows(left: bool) -> tuple[torch.Tensor, torch.Tensor, list[torch.Tensor]]:
    """Hidden states of padded rows, their documents, and the states of each row alone; padding holds NaN."""
    generator = torch.Generator().manual_seed(0)
    alone = [torch.randn(length, 4, generator=generator) for length in LENGTHS]
    hidden, documents = torch.full((len(LENGTHS), 6, 4), torch.nan), torch.full((len(LENGTHS), 6), -1)
    for row, states in enumerate(alone):
        places = slice(6 - len(states), 6) if left else slice(0, len(states))
        hidden[row, places], documents[row, places] = states, 7
    return hidden, documents, alone


@pytest.mark.parametrize("left", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_padding_counts_nowhere(name: PoolingName, left: bool) -> None:
    hidden, documents, alone = rows(left)
    pooling = Pooling(name)
    pooling.documents_BT = documents
    found = pooling(hidden)
    pooling.documents_BT = None
    expected = torch.cat([pooling(states[None]) for states in alone])
    torch.testing.assert_close(found, expected)


def test_what_is_read() -> None:
    states = torch.arange(12.0).view(1, 3, 4)
    assert torch.equal(Pooling("first")(states), states[:, 0])
    assert torch.equal(Pooling("last")(states), states[:, 2])
    assert torch.equal(Pooling("mean")(states), states.mean(1))


def test_documents_of_one_row_serve_all() -> None:
    pooling, states = Pooling("last"), torch.arange(24.0).view(2, 3, 4)
    pooling.documents_BT = torch.tensor([[0, 0, -1]])
    assert torch.equal(pooling(states), states[:, 1])


@pytest.mark.parametrize("name", NAMES)
def test_a_row_of_padding_alone_is_finite(name: PoolingName) -> None:
    pooling = Pooling(name)
    pooling.documents_BT = torch.full((2, 3), -1)
    assert pooling(torch.randn(2, 3, 4)).isfinite().all()
