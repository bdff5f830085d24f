"""The laws with every variant of every scheme, and in stacks whose layers have different schemes.

Documents packed into rows or padded on either side equal documents alone, a cached row equals a whole one, and each
kernel equals the reference: in float64, on hidden states and on the gradients of all weights.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from zoo.generation.cache import GrowingCache
from zoo.models import Model, ModelConfig
from zoo.models.create import model_config
from zoo.nn.positions import PositionsConfig

ROTARY: dict[str, Any] = {"kind": "rotary"}
FACTORS = {"short_factor": [1.0, 1.5, 2.0, 4.0], "long_factor": [1.0, 2.0, 4.0, 8.0]}
VARIANTS: dict[str, dict[str, Any]] = {
    **{kind: {"positions": kind} for kind in PositionsConfig.choices},
    "rotary of a part": {"positions": {**ROTARY, "width": 4}},
    "rotary of neighbours": {"positions": {**ROTARY, "layout": "interleaved"}},
    "rotary of neighbours of a part": {"positions": {**ROTARY, "layout": "interleaved", "width": 6}},
    **{
        f"rotary, {kind}": {"positions": {**ROTARY, "theta": 50.0, "scaling": {"kind": kind, **settings}}}
        for kind, settings in {
            "linear": {},
            "ntk": {},
            "yarn": {"original_length": 300},
            "llama3": {"original_length": 40},
            "longrope": {**FACTORS, "original_length": 8},
        }.items()
    },
    "sinusoids in halves": {"positions": {"kind": "sinusoidal", "layout": "half"}},
    "learned from 2": {"positions": {"kind": "learned", "offset": 2}},
    "every other layer without positions": {"positions": ROTARY, "layers": {"1::2": {"positions": "none"}}},
    "two thetas": {"positions": ROTARY, "layers": {"1::2": {"positions": {"theta": 20.0}}}},
    "a scheme in one layer only": {"positions": "none", "layers": {"1": {"positions": "alibi"}}},
    "four schemes": {
        "positions": "relative",
        "layers": {
            "0": {"positions": ROTARY, "attention": {"window": 2}},
            "1": {"positions": "alibi"},
            "2": {"positions": "none"},
        },
    },
    "heads that differ": {"positions": ROTARY, "layers": {"1": {"head_dim": 6}, "2": {"num_heads": 1}}},
    "heads that differ under a bias": {"positions": "alibi", "layers": {"1": {"num_heads": 4}}},
}
TWO_SIDED = {"alibi by side": {"positions": {"kind": "alibi", "right": 0.5}}}
CASES = [
    (family, name)
    for family in ("encoder", "decoder", "encoder_decoder")
    for name in {**VARIANTS, **(TWO_SIDED if family != "decoder" else {})}
]
LENGTHS = (3, 6, 2, 5)


def build(family: str, name: str, kernel: str = "reference") -> Model:
    """A model in float64 whose weights are all random."""
    variant = {**VARIANTS, **TWO_SIDED}[name]
    config = model_config(
        {
            "kind": family,
            "dim": 12,
            "num_layers": 4,
            "num_heads": 2,
            "head_dim": 8,
            "feed_forward_dim": 8,
            "max_length": 16,
            "vocab_size": 19,
            "attention": {"kernel": kernel},
            "initialization": {"kind": "bert", "std": 0.3},
            **variant,
        }
    )
    assert isinstance(config, ModelConfig)
    return config.build().double()


class Layout(NamedTuple):
    """Rows: which documents each holds, and whether padding is before them."""

    rows: tuple[tuple[int, ...], ...]
    left: bool = False


ALONE = [Layout(((document,),)) for document in range(len(LENGTHS))]
PACKED = Layout(((2, 0, 3), (1,)))
RIGHT, LEFT = Layout(((0,), (1,), (2,), (3,))), Layout(((0,), (1,), (2,), (3,)), left=True)


def forward(model: Model, layout: Layout, shift: int = 0) -> Iterator[tuple[int, Tensor]]:
    """(document, its hidden states) of a layout whose positions start at `shift`; decoders see their own document."""
    texts = [torch.randint(19, (n,), generator=torch.Generator().manual_seed(n)) for n in LENGTHS]
    width = max(sum(LENGTHS[document] for document in row) for row in layout.rows)
    shape = (len(layout.rows), width)
    inputs = {"tokens": torch.ones(shape), "positions": torch.zeros(shape), "documents": torch.full(shape, -1)}
    inputs = {name: values.long() for name, values in inputs.items()}
    places: dict[int, tuple[int, slice]] = {}
    for number, row in enumerate(layout.rows):
        start = width - sum(LENGTHS[document] for document in row) if layout.left else 0
        for document in row:
            where = places[document] = number, slice(start, start + LENGTHS[document])
            inputs["tokens"][where] = texts[document]
            inputs["positions"][where] = torch.arange(LENGTHS[document]) + shift
            inputs["documents"][where] = document
            start += LENGTHS[document]
    if model.config.kind == "encoder_decoder":
        inputs |= {f"decoder_{name}": values for name, values in inputs.items()}
    hidden_BTD = model.backbone(**inputs)
    assert hidden_BTD.isfinite().all()
    return ((document, hidden_BTD[where]) for document, where in places.items())


def outcome(model: Model, layouts: list[Layout]) -> list[Tensor]:
    """Hidden states of all documents in their order, then the gradient of each weight."""
    found = dict(pair for layout in layouts for pair in forward(model, layout))
    hidden_ND = torch.cat([found[document] for document in sorted(found)])
    direction = torch.randn(hidden_ND.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    weights = list(model.backbone.parameters())
    gradients = torch.autograd.grad((hidden_ND * direction).sum(), weights, allow_unused=True, materialize_grads=True)
    return [hidden_ND.detach(), *gradients]


def assert_equal(found: list[Tensor], expected: list[Tensor]) -> None:
    typical = sum(float(tensor.norm()) for tensor in expected) / len(expected)
    for one, other in zip(found, expected, strict=True):
        assert (one - other).norm() < 1e-10 * max(float(other.norm()), typical)


@pytest.mark.parametrize("family, name", CASES)
def test_packed_and_padded_equal_alone(family: str, name: str) -> None:
    model = build(family, name)
    expected = outcome(model, ALONE)
    for layout in (PACKED, RIGHT, LEFT):
        assert_equal(outcome(model, [layout]), expected)


@pytest.mark.parametrize("family, name", CASES)
def test_kernels_agree(family: str, name: str) -> None:
    assert_equal(outcome(build(family, name, "sdpa"), [PACKED]), outcome(build(family, name), [PACKED]))


@pytest.mark.parametrize("chunks", [(1,) * 9, (4, 5), (2, 1, 6)])
@pytest.mark.parametrize("name", VARIANTS)
@torch.no_grad()
def test_cached_equals_whole(name: str, chunks: tuple[int, ...]) -> None:
    """Also of rows with padding on the left, whose positions differ."""
    model = build("decoder", name)
    tokens = torch.randint(19, (2, 9), generator=torch.Generator().manual_seed(1))
    documents = torch.tensor([[-1, -1, *[0] * 7], [0] * 9])
    positions = torch.tensor([[0, 0, *range(7)], list(range(9))])
    for inputs in ({}, {"positions": positions, "documents": documents}):
        cache, parts, start = GrowingCache(), [], 0
        for length in chunks:
            part = {key: values[:, start : start + length] for key, values in {"tokens": tokens, **inputs}.items()}
            parts.append(model.backbone(**part, cache=cache))
            start += length
        torch.testing.assert_close(torch.cat(parts, 1), model.backbone(tokens=tokens, **inputs), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("family, name", CASES)
@torch.no_grad()
def test_only_distances_are_seen(family: str, name: str) -> None:
    """Shifting all positions changes nothing, but for the schemes that are added to the embeddings."""
    model = build(family, name)
    absolute = model.config.positions.kind in ("learned", "sinusoidal")
    for (_, one), (_, other) in zip(forward(model, PACKED), forward(model, PACKED, shift=7), strict=True):
        assert ((one - other).abs().max() > 1e-3) == absolute
        assert absolute or (one - other).abs().max() < 1e-9


@torch.no_grad()
def test_variants_differ() -> None:
    """What these tests vary acts: no two variants, and none of the plain schemes, compute the same from one seed."""
    found = {name: torch.cat([hidden for _, hidden in forward(build("decoder", name), PACKED)]) for name in VARIANTS}
    for name, one in found.items():
        for other, two in found.items():
            assert name == other or (one - two).abs().max() > 1e-4, (name, other)
