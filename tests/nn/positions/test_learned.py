"""A row of the table for each position, and an error where there is none."""

import pytest
import torch

from zoo.errors import DataError
from zoo.nn.positions import PositionsShape
from zoo.nn.positions.learned import LearnedConfig, LearnedPositions

SHAPE = PositionsShape(dim=4, num_heads=2, head_dim=2, max_length=6, causal=True)


def positions() -> LearnedPositions:
    module = LearnedConfig().build(SHAPE)
    assert isinstance(module, LearnedPositions)
    torch.nn.init.normal_(module.table.weight)
    return module


def test_rows_are_added() -> None:
    module, hidden = positions(), torch.randn(2, 3, 4)
    where = torch.tensor([[0, 5, 2], [1, 1, 4]])
    torch.testing.assert_close(module.embed(hidden, where), hidden + module.table.weight[where])


def test_only_used_rows_are_trained() -> None:
    module = positions()
    module.embed(torch.zeros(1, 2, 4), torch.tensor([[0, 3]])).sum().backward()
    assert module.table.weight.grad is not None
    assert module.table.weight.grad[:, 0].tolist() == [1, 0, 0, 1, 0, 0]


@pytest.mark.parametrize("where, wrong", [([[0, 6]], 6), ([[-1, 2]], -1), ([[100]], 100)])
def test_positions_past_the_table(where: list[list[int]], wrong: int) -> None:
    with pytest.raises(
        DataError, match=rf"position {wrong} is outside 0 … 5; shorten the input or choose a larger max"
    ):
        positions().embed(torch.zeros(1, len(where[0]), 4), torch.tensor(where))


def test_table_has_a_row_for_each_position() -> None:
    assert positions().table.weight.shape == (SHAPE.max_length, SHAPE.dim)
