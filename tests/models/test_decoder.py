"""A decoder sees the past only, save for a prefix, and goes on from a cache where it stopped."""

import pytest
import torch
from torch import Tensor

from tests.nn.attend.cases import differentiable
from zoo.errors import DataError
from zoo.generation.cache import GrowingCache
from zoo.models import Model
from zoo.models.create import create_model
from zoo.models.decoder import Decoder, DecoderConfig
from zoo.nn.positions import PositionsConfig
from zoo.nn.stack import Keys

SETTINGS = {"kind": "decoder", "dim": 8, "num_layers": 2, "num_heads": 2, "vocab_size": 11, "max_length": 8}
TOKENS = torch.tensor([[1, 2, 3, 4, 5, 6]])


def changes(place: int, **inputs: Tensor) -> list[bool]:
    """Which hidden states change when the token at a place does."""
    model = create_model(SETTINGS).double()
    other = TOKENS.clone()
    other[0, place] = 9
    return (model.backbone(tokens=TOKENS, **inputs) != model.backbone(tokens=other, **inputs)).any(-1)[0].tolist()


@pytest.mark.parametrize("place", range(6))
def test_the_past_does_not_see_the_future(place: int) -> None:
    assert changes(place) == [False] * place + [True] * (6 - place)


def test_prefix() -> None:
    prefix = torch.tensor([[1, 1, 1, 0, 0, 0]]).bool()
    assert changes(2, prefix=prefix) == [True] * 6
    assert changes(3, prefix=prefix) == [False] * 3 + [True] * 3


def test_documents() -> None:
    documents = torch.tensor([[4, 4, 0, 0, 0, -1]])
    assert changes(0, documents=documents) == [True, True, False, False, False, False]
    assert changes(3, documents=documents) == [False, False, False, True, True, False]


class Layer:
    """Keys and values of one layer."""

    def __init__(self) -> None:
        self.parts: list[tuple[Tensor, Tensor]] = []

    def extend(self, k_BGSK: Tensor, v_BGSK: Tensor) -> tuple[Tensor, Tensor]:
        self.parts.append((k_BGSK, v_BGSK))
        keys, values = zip(*self.parts, strict=True)
        return torch.cat(keys, dim=2), torch.cat(values, dim=2)


class Cache:
    """The simplest cache: positions and layers, no documents."""

    def __init__(self) -> None:
        self.positions = torch.empty(1, 0, dtype=torch.long)
        self.layers: dict[int, Layer] = {}

    @property
    def length(self) -> int:
        return self.positions.shape[1]

    def append(self, positions_BT: Tensor, documents_BT: Tensor | None) -> None:
        assert documents_BT is None
        self.new = positions_BT.shape[1]
        self.positions = torch.cat((self.positions, positions_BT), dim=1)

    def keys(self, window: int | None) -> Keys:
        return Keys(self.positions, None, self.length - self.new)

    def layer(self, index: int) -> Layer:
        return self.layers.setdefault(index, Layer())


@pytest.mark.parametrize("positions", PositionsConfig.choices)
def test_cached_equals_whole_and_counts_on(positions: str) -> None:
    model, cache = create_model(SETTINGS, positions=positions).double(), Cache()
    parts = [model.backbone(tokens=part, cache=cache) for part in TOKENS.split((3, 1, 2), dim=1)]
    torch.testing.assert_close(torch.cat(parts, dim=1), model.backbone(tokens=TOKENS))
    assert cache.positions.tolist() == [[0, 1, 2, 3, 4, 5]]


def test_family() -> None:
    assert isinstance(create_model(SETTINGS).backbone, Decoder)
    assert DecoderConfig.causal
    assert [side.causal for side in DecoderConfig().sides()] == [True]


# --------------------------------------------------------------------------------------------------------------- prefix

LENGTHS, PREFIXES = (5, 3, 6), (2, 0, 6)
"""Tokens of three documents, and how many of each are its prefix."""


def rows_of(documents: list[list[int]], left: bool) -> dict[str, torch.Tensor]:
    """The documents laid into rows of one width, each with its prefix; padding holds token 1."""
    width = max(sum(LENGTHS[index] for index in row) for row in documents) + 1
    rows = len(documents)
    laid = {
        "tokens": torch.ones(rows, width),
        "positions": torch.zeros(rows, width),
        "prefix": torch.zeros(rows, width),
    }
    laid["documents"] = torch.full((rows, width), -1.0)
    for number, row in enumerate(documents):
        start = width - sum(LENGTHS[index] for index in row) if left else 0
        for index in row:
            place = (number, slice(start, start + LENGTHS[index]))
            laid["tokens"][place] = tokens_of(index)
            laid["positions"][place] = torch.arange(LENGTHS[index])
            laid["documents"][place] = index
            laid["prefix"][number, start : start + PREFIXES[index]] = 1
            start += LENGTHS[index]
    return {name: values.bool() if name == "prefix" else values.long() for name, values in laid.items()}


def tokens_of(index: int) -> torch.Tensor:
    return torch.arange(LENGTHS[index]) * 3 % 11 + index % 2


def prefix_of(index: int, length: int | None = None) -> torch.Tensor:
    return (torch.arange(length or LENGTHS[index]) < PREFIXES[index])[None]


def outcome(
    model: Model, inputs: list[dict[str, torch.Tensor]], places: list[tuple[int, int, slice]]
) -> list[torch.Tensor]:
    """Hidden states of all documents one after another, and the gradient of each weight of the stack."""
    found = [model.backbone(**row) for row in inputs]
    hidden = torch.cat([found[batch][row, place] for batch, row, place in places])
    direction = torch.randn(hidden.shape, generator=torch.Generator().manual_seed(1), dtype=hidden.dtype)
    return [hidden, *torch.autograd.grad((hidden * direction).sum(), list(model.backbone.parameters()))]


@pytest.mark.parametrize("kernel", differentiable())
@pytest.mark.parametrize("window", [None, 1])
@pytest.mark.parametrize("positions", ["rotary", "alibi"])
def test_prefixes_packed_and_padded_equal_each_alone(kernel: str, positions: str, window: int | None) -> None:
    attention = {"kernel": kernel, "window": window}
    model = create_model(SETTINGS, positions=positions, max_length=16, attention=attention).double()
    each = [{"tokens": tokens_of(index)[None], "prefix": prefix_of(index)} for index in range(3)]
    expected = outcome(model, each, [(index, 0, slice(None)) for index in range(3)])
    ends = [sum(LENGTHS[: index + 1]) for index in range(3)]
    together = [(0, 0, slice(end - length, end)) for end, length in zip(ends, LENGTHS, strict=True)]
    width = max(LENGTHS) + 1
    right = [(0, index, slice(0, length)) for index, length in enumerate(LENGTHS)]
    left = [(0, index, slice(width - length, width)) for index, length in enumerate(LENGTHS)]
    apart = [[0], [1], [2]]
    for rows, places in (
        (rows_of([[0, 1, 2]], left=False), together),
        (rows_of(apart, left=False), right),
        (rows_of(apart, left=True), left),
    ):
        for one, other in zip(outcome(model, [rows], places), expected, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-10)
    without = outcome(model, [{"tokens": row["tokens"]} for row in each], [(i, 0, slice(None)) for i in range(3)])
    assert not torch.allclose(without[0], expected[0])


@pytest.mark.parametrize("kernel", differentiable())
@pytest.mark.parametrize("window", [None, 1])
def test_a_prefix_in_the_first_call_of_a_cache(kernel: str, window: int | None) -> None:
    """The prefix speaks of all places so far: those of it see each other, what comes later sees it and its past."""
    model = create_model(SETTINGS, attention={"kernel": kernel, "window": window}).double()
    cache = GrowingCache()
    tokens = tokens_of(0)[None]
    parts = [
        model.backbone(tokens=tokens[:, start:end], prefix=prefix_of(0, end), cache=cache)
        for start, end in ((0, 3), (3, 4), (4, 5))
    ]
    torch.testing.assert_close(torch.cat(parts, dim=1), model.backbone(tokens=tokens, prefix=prefix_of(0)))


@pytest.mark.filterwarnings("ignore:flex_attention called without")
@pytest.mark.parametrize("kernel", ["reference", "sdpa", "flex"])
@pytest.mark.parametrize(
    "prefix, cached, message",
    [
        (torch.ones(1, 6).bool(), 0, r"prefix must be of shape \(2, 6\), .* it is of shape \(1, 6\)"),
        (torch.ones(6).bool(), 0, r"prefix must be of shape \(2, 6\), .* it is of shape \(6,\)"),
        (torch.ones(2, 4).bool(), 0, r"prefix must be of shape \(2, 6\), .* it is of shape \(2, 4\)"),
        (torch.ones(2, 2).bool(), 4, r"prefix must be of shape \(2, 6\), .* it is of shape \(2, 2\)"),
        (torch.ones(2, 6), 0, "prefix must be bool, not float32"),
        (torch.ones(2, 6).long(), 0, "prefix must be bool, not int64"),
    ],
)
def test_a_prefix_of_another_shape_or_dtype(kernel: str, prefix: Tensor, cached: int, message: str) -> None:
    model, cache = create_model(SETTINGS, attention={"kernel": kernel}), GrowingCache()
    rows = TOKENS.expand(2, -1)
    with torch.no_grad():
        if cached:
            model.backbone(tokens=rows[:, :cached], cache=cache)
        with pytest.raises(DataError, match=message):
            model(tokens=rows[:, cached:], prefix=prefix, cache=cache if cached else None)
