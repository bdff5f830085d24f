"""Sinusoids equal the formula of the paper, section 3.5."""

import math

import pytest
import torch

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


def test_odd_width_is_refused() -> None:
    with pytest.raises(ConfigError, match="positions: sinusoidal positions need an even dim, not dim=9"):
        model_config({"kind": "encoder", "dim": 9, "num_heads": 3, "vocab_size": 5}, positions="sinusoidal")
