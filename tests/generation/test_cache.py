"""A row computed in pieces, with a cache, is the row computed at once: outputs and gradients."""

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.generation.tiny import prompts_of, row, tiny
from zoo.errors import DataError
from zoo.generation.cache import MOST_RESERVED, GrowingCache, GrowingCacheConfig, Laid, LaidLayer
from zoo.models import Model
from zoo.nn.positions import PositionsConfig

POSITIONS = sorted(PositionsConfig.choices)
VARIANTS: dict[str, dict[str, Any]] = {
    "grouped": {"num_kv_heads": 2},
    "window": {"attention": {"window": 3}},
    "reference": {"attention": {"kernel": "reference", "cap": 5.0}},
}


def decoded(model: Model, tokens_1T: Tensor, cuts: list[int]) -> Tensor:
    """Hidden states of one row, given to the model in pieces of these lengths."""
    cache = GrowingCache()
    pieces = [model.backbone(piece, cache=cache) for piece in tokens_1T.split(cuts, dim=1)]
    assert cache.length == tokens_1T.shape[1]
    return torch.cat(pieces, dim=1)


@pytest.mark.parametrize("cuts", [[9], [1] * 9, [4, 1, 1, 3], [2, 7]], ids=str)
@pytest.mark.parametrize("positions", POSITIONS)
def test_pieces_equal_the_whole(positions: str, cuts: list[int]) -> None:
    model, tokens = tiny("decoder", positions=positions), row(prompts_of([9])[0])
    with torch.inference_mode():
        torch.testing.assert_close(decoded(model, tokens, cuts), model.backbone(tokens), rtol=0, atol=1e-12)


@pytest.mark.parametrize("variant", VARIANTS)
def test_pieces_equal_the_whole_in_every_attention(variant: str) -> None:
    model, tokens = tiny("decoder", positions="rotary", **VARIANTS[variant]), row(prompts_of([9])[0])
    with torch.no_grad():
        torch.testing.assert_close(decoded(model, tokens, [4, 1, 1, 3]), model.backbone(tokens), rtol=0, atol=1e-12)


@pytest.mark.parametrize("positions", POSITIONS)
def test_gradients_of_pieces_equal_those_of_the_whole(positions: str) -> None:
    model, tokens = tiny("decoder", positions=positions), row(prompts_of([9])[0])
    probe = torch.randn(1, 9, 16, dtype=torch.float64)
    parameters = list(model.backbone.parameters())
    whole = torch.autograd.grad((model.backbone(tokens) * probe).sum(), parameters)
    pieces = torch.autograd.grad((decoded(model, tokens, [4, 1, 1, 3]) * probe).sum(), parameters)
    for expected, actual in zip(whole, pieces, strict=True):
        torch.testing.assert_close(actual, expected, rtol=0, atol=1e-10)


def test_keys_and_values_come_back_oldest_first() -> None:
    layer = LaidLayer()
    keys, values = torch.randn(2, 3, 11, 4), torch.randn(2, 3, 11, 4)
    start = 0
    for length in (3, 1, 1, 2, 4):
        stop = start + length
        k, v = layer.extend(keys[:, :, start:stop], values[:, :, start:stop])
        assert torch.equal(k, keys[:, :, :stop])
        assert torch.equal(v, values[:, :, :stop])
        start = stop


def test_what_was_handed_out_stays_as_it_was() -> None:
    layer = LaidLayer()
    given = torch.randn(1, 1, 3, 2)
    early, _ = layer.extend(given, given)
    before = early.clone()
    for _ in range(4):
        layer.extend(torch.randn(1, 1, 1, 2), torch.randn(1, 1, 1, 2))
    assert torch.equal(early, before)
    assert torch.equal(given, before)


def test_positions_and_documents_of_all_places() -> None:
    cache = GrowingCache()
    assert cache.length == 0
    first, documents = torch.tensor([[0, 1]]), torch.tensor([[-1, 0], [0, 0]])
    cache.append(first, documents)
    cache.append(torch.tensor([[1], [2]]), torch.zeros(2, 1, dtype=torch.int64))
    positions, all_documents, offset, start = cache.keys(None)
    assert (offset, start) == (2, 0)
    assert positions.tolist() == [[0, 1, 1], [0, 1, 2]]
    assert all_documents is not None
    assert all_documents.tolist() == [[-1, 0, 0], [0, 0, 0]]
    assert cache.length == 3


@pytest.mark.parametrize("first", [True, False])
def test_documents_must_come_always_or_never(first: bool) -> None:
    cache, documents = GrowingCache(), torch.zeros(1, 1, dtype=torch.int64)
    cache.append(documents, documents if first else None)
    with pytest.raises(DataError, match="all calls or of none"):
        cache.append(documents, None if first else documents)


@pytest.mark.parametrize("rows", [[1, 0, 1], [2, 2, 2], [0], [0, 1, 2]], ids=str)
@pytest.mark.parametrize("padding", [True, False])
@torch.inference_mode()
def test_reordered_rows_go_on_as_what_they_were(padding: bool, rows: list[int]) -> None:
    model, tokens = tiny("decoder", positions="rotary"), torch.tensor(prompts_of([9, 9, 9]))
    documents = torch.zeros_like(tokens)
    documents[1, :2] = -1 if padding else 0
    positions = (documents.cumsum(1) + torch.arange(9)).clamp(min=0)
    chosen, cache = torch.tensor(rows), GrowingCache()
    for columns in (slice(0, 5), slice(5, 6)):
        model.backbone(tokens[:, columns], positions[:, columns], documents[:, columns], cache=cache)
    cache.reorder(chosen)
    pieces = [
        model.backbone(*(part[chosen, columns] for part in (tokens, positions, documents)), cache=cache)
        for columns in (slice(6, 7), slice(7, 9))
    ]
    expected = model.backbone(tokens, positions, documents)[chosen, 6:]
    torch.testing.assert_close(torch.cat(pieces, dim=1), expected, rtol=0, atol=1e-12)


def test_an_empty_cache_can_be_reordered() -> None:
    cache = GrowingCache()
    cache.reorder(torch.tensor([0, 0]))
    assert cache.length == 0


@pytest.mark.parametrize(
    "room, length, places",
    [(10, 3, 10), (10**9, 3, 3 + MOST_RESERVED), (9010, 9000, 9010), (10**9, 9000, 9000 + MOST_RESERVED), (2, 3, 3)],
)
def test_memory_is_laid_out_for_what_is_known_but_not_for_all_that_may_be(room: int, length: int, places: int) -> None:
    laid = Laid(1, room)
    laid.extend(torch.zeros(1, length))
    assert laid._buffer is not None
    assert laid._buffer.shape[1] == places
    assert places == GrowingCacheConfig().reserved(length, max(room, length))
    more = places - length + 1  # one more than there is room for
    assert int(laid.extend(torch.ones(1, more)).sum()) == more
    assert places < laid._buffer.shape[1] <= max(2 * places + 2, MOST_RESERVED)
