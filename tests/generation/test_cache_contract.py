"""Law 4 for every cache: cached = uncached = left-padded = right-padded = alone.

Every kind of cache × positional scheme × family × kind of attention, as registered now; a new one is held to it the
same day. Rows are given in pieces, as decoding does: a prompt, then place after place.
"""

import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from tests.generation.tiny import PADDING, VOCAB_SIZE, prompts_of, tiny
from zoo.batch import PADDING_DOCUMENT
from zoo.errors import ConfigError
from zoo.generation import windowed_cache
from zoo.generation.cache import Cache, CacheConfig
from zoo.generation.generate import generate
from zoo.generation.memory_cache import remembered
from zoo.generation.roles import TokenRoles
from zoo.models import Model
from zoo.nn.attention import AttentionConfig
from zoo.nn.positions import PositionsConfig

CACHES = sorted(CacheConfig.choices)
POSITIONS = sorted(PositionsConfig.choices)
FAMILIES = ("decoder", "encoder_decoder")
ATTENTIONS: dict[str, dict[str, Any]] = {
    **{kind: {"attention": {"kind": kind}} for kind in sorted(AttentionConfig.choices)},
    "grouped": {"num_kv_heads": 2},
    "one key head": {"num_kv_heads": 1},
    "window": {"attention": {"window": 3}},
    "windows of some layers": {"num_layers": 3, "layers": {"::2": {"attention": {"window": 2}}}},
    "capped": {"attention": {"cap": 5.0, "window": 4}},
    "sinks": {"attention": {"sinks": "learned"}},
    "additive": {"attention": {"score": "additive"}},
    "differential": {"attention": {"differential": {}}},
    "one matrix for queries and keys": {"attention": {"shared_query_key": True}},
    "normalized and gated": {"attention": {"query_key_norm": {"over": "width"}, "gate": "head"}},
    "one block": {"sharing": "all"},
    "parallel": {"block": "parallel"},
}
FEW = [
    ("decoder", "rotary", "window"),
    ("decoder", "alibi", "windows of some layers"),
    ("decoder", "learned", "grouped"),
    ("encoder_decoder", "relative", "multi_head"),
    ("encoder_decoder", "rotary", "latent"),
    ("encoder_decoder", "none", "differential"),
]
REFUSED: set[tuple[str, str, str]] = set()
"""(family, positions, attention) that make no model; what is refused and not named here fails."""
LENGTHS, MEMORY_LENGTHS = (9, 6, 11), (4, 7, 2)
CUTS = {"alone": (4, 1, 1), "left": (3, 1, 1, 2, 1), "right": (5, 1, 1)}
"""Places of the first calls; the rest of a row comes place by place."""


@pytest.fixture(autouse=True)
def _little_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """A windowed cache rolls over within rows as short as these."""
    monkeypatch.setattr(windowed_cache, "SPARE", 1)


class Rows(NamedTuple):
    """Rows side by side: ids, positions and documents, (B, T) each, and where each row's own places are."""

    tokens: Tensor
    positions: Tensor
    documents: Tensor
    places: list[slice]


def laid(rows: Sequence[Sequence[int]], side: str) -> Rows:
    """Rows padded on a side; a single one is not padded at all."""
    width = max(map(len, rows))
    places = [slice(width - len(row), width) if side == "left" else slice(0, len(row)) for row in rows]
    tokens = torch.full((len(rows), width), PADDING)
    documents = torch.full_like(tokens, PADDING_DOCUMENT)
    positions = torch.zeros_like(tokens)
    for index, (row, where) in enumerate(zip(rows, places, strict=True)):
        tokens[index, where], documents[index, where] = torch.tensor(row), 0
        positions[index, where] = torch.arange(len(row))
    return Rows(tokens, positions, documents, places)


def forward_of(model: Model, memories: Sequence[Sequence[int]], side: str, cached: bool) -> Callable[..., Tensor]:
    """tokens, positions, documents (and a cache) to hidden states, beside an encoded input where there is one."""
    backbone: Any = model.backbone
    if model.config.kind == "decoder":
        return backbone  # type: ignore[no-any-return]
    memory = backbone.encode(*laid(memories, side)[:3])
    memory = remembered(memory) if cached else memory

    def decode(tokens: Tensor, positions: Tensor, documents: Tensor, cache: Cache | None = None) -> Tensor:
        hidden: Tensor = backbone.decode(tokens, memory, positions, documents, cache)
        return hidden

    return decode


def cache_of(kind: str, model: Model, num_places: int | None) -> Cache:
    backbone: Any = model.backbone
    stack = backbone.stack if model.config.kind == "decoder" else backbone.decoder
    return CacheConfig.choice(kind)().build(stack.windows, num_places)


def in_pieces(forward: Callable[..., Tensor], rows: Rows, cache: Cache, cuts: Sequence[int]) -> Tensor:
    """Hidden states of the rows, given to the model piece by piece."""
    width = rows.tokens.shape[1]
    lengths = [*cuts, *[1] * (width - sum(cuts))]
    parts = zip(*(side.split(lengths, dim=1) for side in rows[:3]), strict=True)
    hidden = torch.cat([forward(*part, cache=cache) for part in parts], dim=1)
    assert int(cache.length) == width
    return hidden


@functools.cache
def alone(family: str, positions: str, attention: str) -> tuple[Model, list[Tensor]]:
    """A model and the hidden states of each row by itself, at once."""
    model, hidden = tiny(family, positions=positions, **ATTENTIONS[attention]), []
    with torch.inference_mode():
        for row, memory in zip(prompts_of(LENGTHS), prompts_of(MEMORY_LENGTHS, 1), strict=True):
            hidden.append(forward_of(model, [memory], "left", False)(*laid([row], "left")[:3])[0])
    return model, hidden


def check(cache: str, family: str, positions: str, attention: str) -> None:
    model, expected = alone(family, positions, attention)
    rows, memories = prompts_of(LENGTHS), prompts_of(MEMORY_LENGTHS, 1)
    for side in ("left", "right"):
        together = laid(rows, side)
        forward = forward_of(model, memories, side, True)
        num_places = together.tokens.shape[1] if side == "left" or cache == "static" else None
        hidden = in_pieces(forward, together, cache_of(cache, model, num_places), CUTS[side])
        for index, where in enumerate(together.places):
            torch.testing.assert_close(hidden[index, where], expected[index], rtol=0, atol=1e-11)
    by_itself = forward_of(model, memories[:1], "left", True)
    hidden = in_pieces(by_itself, laid(rows[:1], "left"), cache_of(cache, model, LENGTHS[0]), CUTS["alone"])
    torch.testing.assert_close(hidden[0], expected[0], rtol=0, atol=1e-11)
    assert expected[0].abs().max() > 0.1  # something was compared


@pytest.fixture
def _without_gradients() -> Iterator[None]:
    with torch.inference_mode():
        yield


@pytest.mark.usefixtures("_without_gradients")
@pytest.mark.parametrize("family, positions, attention", FEW, ids=str)
@pytest.mark.parametrize("cache", CACHES)
def test_the_cached_row_is_the_row_alone(cache: str, family: str, positions: str, attention: str) -> None:
    check(cache, family, positions, attention)


@pytest.mark.slow
@pytest.mark.usefixtures("_without_gradients")
@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("family", FAMILIES)
def test_the_cached_row_is_the_row_alone_in_every_combination(family: str, attention: str) -> None:
    for cache, positions in itertools.product(CACHES, POSITIONS):
        if (family, positions, attention) not in REFUSED:
            check(cache, family, positions, attention)


def test_what_cannot_be_is_named() -> None:
    """Every other combination makes a model: none is left out of the contract in silence."""
    for family, positions, attention in itertools.product(FAMILIES, POSITIONS, ATTENTIONS):
        try:
            tiny(family, positions=positions, **ATTENTIONS[attention])
            is_refused = False
        except ConfigError:
            is_refused = True
        assert is_refused == ((family, positions, attention) in REFUSED), (family, positions, attention)


@pytest.mark.parametrize("cache", CACHES)
@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_written_does_not_depend_on_the_cache(family: str, cache: str) -> None:
    model = tiny(family, positions="rotary", **ATTENTIONS["windows of some layers"])
    prompts, roles = prompts_of((5, 1, 8)), TokenRoles(VOCAB_SIZE, PADDING)
    expected = generate(model, prompts, roles, max_new_tokens=12)
    found = generate(model, prompts, roles, max_new_tokens=12, cache=CacheConfig.choice(cache)())
    for one, other in zip(found, expected, strict=True):
        assert one.tokens == other.tokens
        assert one.log_probabilities == pytest.approx(other.log_probabilities, abs=1e-12)


@pytest.mark.usefixtures("_without_gradients")
@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("rows", [[2, 0, 0], [1], [0, 1, 2, 2, 1]], ids=str)
@pytest.mark.parametrize("cache", CACHES)
def test_rows_in_another_order_go_on_as_they_were(cache: str, rows: list[int], padded: bool) -> None:
    """After some places the rows are put in another order; what follows is what it would have been."""
    model = tiny("decoder", positions="alibi", **ATTENTIONS["windows of some layers"])
    together = laid(prompts_of(LENGTHS if padded else (9, 9, 9)), "left")
    order, width = torch.tensor(rows), together.tokens.shape[1]
    inputs = together[:3] if padded else (together.tokens, together.positions[:1], None)
    for seen in (1, 5):
        kept = cache_of(cache, model, width)

        def part(where: slice, chosen: Tensor) -> list[Tensor | None]:
            return [None if side is None else side[chosen if len(side) > 1 else slice(None), where] for side in inputs]

        model.backbone(*part(slice(0, seen), torch.arange(3)), cache=kept)
        kept.reorder(order)
        steps = [model.backbone(*part(slice(i, i + 1), order), cache=kept) for i in range(seen, width)]
        whole = model.backbone(*inputs)[order, seen:]
        real = together.documents[order, seen:] >= 0
        torch.testing.assert_close(torch.cat(steps, dim=1)[real], whole[real], rtol=0, atol=1e-11)


@pytest.mark.usefixtures("_without_gradients")
@pytest.mark.parametrize("cache", CACHES)
def test_a_prefix_sees_both_ways_in_every_cache(cache: str) -> None:
    model = tiny("decoder", positions="rotary", **ATTENTIONS["windows of some layers"])
    tokens = torch.tensor(prompts_of((11,)))
    prefix = torch.arange(11)[None] < 4
    kept = cache_of(cache, model, 11)
    pieces = []
    for start, stop in ((0, 5), *((i, i + 1) for i in range(5, 11))):
        pieces.append(model.backbone(tokens[:, start:stop], prefix=prefix[:, :stop], cache=kept))
    torch.testing.assert_close(torch.cat(pieces, dim=1), model.backbone(tokens, prefix=prefix), rtol=0, atol=1e-11)


@pytest.mark.parametrize("cache", CACHES)
def test_gradients_flow_through_every_cache(cache: str) -> None:
    model, tokens = tiny("decoder", positions="rotary", **ATTENTIONS["window"]), torch.tensor(prompts_of((9,)))
    parameters, probe = list(model.backbone.parameters()), torch.randn(1, 9, 16, dtype=torch.float64)
    whole = torch.autograd.grad((model.backbone(tokens) * probe).sum(), parameters)
    kept = cache_of(cache, model, 9)
    hidden = torch.cat([model.backbone(piece, cache=kept) for piece in tokens.split([4, 1, 1, 3], dim=1)], dim=1)
    pieces = torch.autograd.grad((hidden * probe).sum(), parameters)
    for expected, actual in zip(whole, pieces, strict=True):
        torch.testing.assert_close(actual, expected, rtol=0, atol=1e-10)
