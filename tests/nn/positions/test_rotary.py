"""Rotary positions: scores depend on distances only, and the angles are the paper's."""

import cmath

import pytest
import torch
from torch import Tensor

from zoo.errors import ConfigError
from zoo.models.create import model_config
from zoo.nn.positions import Positions, PositionsShape
from zoo.nn.positions.rotary import RotaryConfig

K = 6


def scheme(theta: float = 10_000.0) -> Positions:
    return RotaryConfig(theta=theta).build(PositionsShape(12, 2, K, 16, True))


def turned(x: Tensor, position: int, theta: float = 10_000.0) -> Tensor:
    module = scheme(theta)
    return module.rotate(x, x, module.prepare(torch.tensor([[position]]), x.dtype))[0]


@pytest.mark.parametrize("theta", [10_000.0, 500_000.0])
@pytest.mark.parametrize("position", [0, 1, 17, 3000])
def test_pairs_turn_as_complex_numbers(theta: float, position: int) -> None:
    """Channel i and i + K/2 are real and imaginary part; the paper's equation 13 for its neighbours 2i and 2i + 1."""
    x = torch.randn(1, 1, 1, K, dtype=torch.float64)
    found = turned(x, position, theta).flatten()
    for i in range(K // 2):
        number = complex(x.flatten()[i], x.flatten()[i + K // 2])
        expected = number * cmath.exp(1j * position * theta ** (-2 * i / K))
        assert found[i].item() == pytest.approx(expected.real, abs=1e-9)
        assert found[i + K // 2].item() == pytest.approx(expected.imag, abs=1e-9)


def test_scores_depend_on_distances_only() -> None:
    q, k = torch.randn(2, 1, 1, 1, K, dtype=torch.float64)
    scores = [(turned(q, 9 + shift) * turned(k, 4 + shift)).sum() for shift in (0, 1, 50, 4000)]
    torch.testing.assert_close(torch.stack(scores), scores[0].expand(4), rtol=1e-9, atol=1e-9)
    assert (scores[0] - (turned(q, 9) * turned(k, 5)).sum()).abs() > 1e-3


def test_length_is_kept_and_position_zero_does_nothing() -> None:
    x = torch.randn(1, 1, 1, K, dtype=torch.float64)
    torch.testing.assert_close(turned(x, 123).norm(), x.norm())
    torch.testing.assert_close(turned(x, 0), x)


def test_grouped_keys_turn_like_queries() -> None:
    module = scheme()
    q, k = torch.randn(2, 4, 3, K), torch.randn(2, 1, 3, K)
    tables = module.prepare(torch.arange(3)[None], torch.float32)
    turned_q, turned_k = module.rotate(q, k, tables)
    assert (turned_q.shape, turned_k.shape) == (q.shape, k.shape)
    torch.testing.assert_close(module.rotate(k, k, tables)[0], turned_k)


def test_tables_are_made_in_float32() -> None:
    """Angles of far positions would be noise in bfloat16."""
    module, where = scheme(), torch.tensor([[4001]])
    low, exact = (module.prepare(where, dtype) for dtype in (torch.bfloat16, torch.float64))
    assert low is not None
    assert exact is not None
    for one, other in zip(low, exact, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=0, atol=0.005)


def test_odd_head_width_is_refused() -> None:
    with pytest.raises(ConfigError, match="positions: rotary positions need an even head_dim, not head_dim=3"):
        model_config({"kind": "decoder", "dim": 9, "num_heads": 3, "vocab_size": 5}, positions="rotary")
