"""Sinusoids equal the formula of the paper, section 3.5, and the columns of Marian."""

import math

import pytest
import torch
from transformers.models.marian.modeling_marian import MarianSinusoidalPositionalEmbedding

from zoo.errors import ConfigError
from zoo.models.create import model_config
from zoo.nn.positions import PositionsShape
from zoo.nn.positions.sinusoidal import SinusoidalConfig


def shape(dim: int) -> PositionsShape:
    return PositionsShape(dim, 2, dim // 2, 16, True)


@pytest.mark.parametrize("dim", [2, 8, 512])
@pytest.mark.parametrize("base", [10_000.0, 50.0])
def test_formula(dim: int, base: float) -> None:
    module = SinusoidalConfig(base=base).build(shape(dim))
    where = [0, 1, 7, 1000]
    found = module.embed(torch.zeros(1, len(where), dim, dtype=torch.float64), torch.tensor([where]))[0]
    for row, position in enumerate(where):
        for i in range(dim // 2):
            angle = position / base ** (2 * i / dim)
            assert found[row, 2 * i].item() == pytest.approx(math.sin(angle), abs=1e-9)
            assert found[row, 2 * i + 1].item() == pytest.approx(math.cos(angle), abs=1e-9)


def test_half_equals_marian() -> None:
    """Its table is rounded to float32 whatever its dtype; beyond its rows ours go on."""
    theirs = MarianSinusoidalPositionalEmbedding(300, 24).create_weight()
    module = SinusoidalConfig(layout="half").build(shape(24))
    ours = module.embed(torch.zeros(1, 301, 24, dtype=torch.float64), torch.arange(301)[None])[0]
    torch.testing.assert_close(ours[:300], theirs.double(), rtol=0, atol=2**-24)
    assert module.num_positions is None


@pytest.mark.parametrize("base", [10_000.0, 50.0])
def test_half_has_the_columns_in_another_order(base: float) -> None:
    where, hidden = torch.tensor([[0, 1, 7, 1000]]), torch.zeros(1, 4, 12, dtype=torch.float64)
    half, paper = (SinusoidalConfig(base=base, layout=name).build(shape(12)) for name in ("half", "interleaved"))
    order = [*range(0, 12, 2), *range(1, 12, 2)]
    assert torch.equal(half.embed(hidden, where), paper.embed(hidden, where)[..., order])


@pytest.mark.parametrize("layout", ["interleaved", "half"])
def test_far_positions_are_rounded_once(layout: str) -> None:
    module, where = SinusoidalConfig(layout=layout).build(shape(8)), torch.tensor([[100_000, 65_537]])
    exact, single = (module.embed(torch.zeros(1, 2, 8, dtype=kind), where) for kind in (torch.float64, torch.float32))
    torch.testing.assert_close(single.double(), exact, rtol=0, atol=1e-7)
    for row, position in enumerate(where[0].tolist()):
        angles = [position / 10_000.0 ** (2 * i / 8) for i in range(4)]
        expected = torch.tensor([[math.sin(a) for a in angles], [math.cos(a) for a in angles]], dtype=torch.float64)
        expected = expected.flatten() if layout == "half" else expected.T.flatten()
        torch.testing.assert_close(exact[0, row], expected, rtol=0, atol=1e-10)


def test_hidden_is_added_to() -> None:
    module, hidden = SinusoidalConfig().build(shape(8)), torch.randn(2, 3, 8, dtype=torch.float64)
    where = torch.arange(3)[None]
    torch.testing.assert_close(module.embed(hidden, where) - module.embed(torch.zeros_like(hidden), where), hidden)


def test_a_fixed_distance_is_a_fixed_rotation() -> None:
    """The reason the paper gives: PE(p + k) is linear in PE(p), the same map for all p."""
    module, dim = SinusoidalConfig().build(shape(8)), 8
    table = module.embed(torch.zeros(1, 40, dim, dtype=torch.float64), torch.arange(40)[None])[0]
    moved = torch.linalg.lstsq(table[:30], table[5:35]).solution
    torch.testing.assert_close(table[:35] @ moved, table[5:], rtol=1e-8, atol=1e-8)


def test_bfloat16_is_rounded_once() -> None:
    module, where = SinusoidalConfig().build(shape(8)), torch.tensor([[3000]])
    exact = module.embed(torch.zeros(1, 1, 8, dtype=torch.float64), where)
    low = module.embed(torch.zeros(1, 1, 8, dtype=torch.bfloat16), where)
    torch.testing.assert_close(low.double(), exact, rtol=0, atol=0.005)


def test_unknown_layout_is_refused() -> None:
    with pytest.raises(ConfigError, match="layout: 'halves' is not one of interleaved, half"):
        SinusoidalConfig(layout="halves")


def test_odd_width_is_refused() -> None:
    with pytest.raises(ConfigError, match="positions: sinusoidal positions need an even dim, not dim=9"):
        model_config({"kind": "encoder", "dim": 9, "num_heads": 3, "vocab_size": 5}, positions="sinusoidal")
