"""ALiBi's slopes are the paper's, and its biases fall off linearly on both sides."""

import pytest
import torch

from zoo.nn.positions import PositionsShape
from zoo.nn.positions.alibi import AlibiConfig, alibi_slopes


def test_slopes_of_eight_heads() -> None:
    """Section 3: 1/2, 1/4, …, 1/256."""
    assert alibi_slopes(8) == [2.0**-n for n in range(1, 9)]


def test_slopes_of_sixteen_heads() -> None:
    """Section 3: interpolated geometrically, 1/2^0.5, 1/2^1, 1/2^1.5, …, 1/2^8."""
    assert alibi_slopes(16) == pytest.approx([2.0 ** (-n / 2) for n in range(1, 17)])


# of the paper's released code: the slopes of 8 heads, then every other one of 16
TWELVE = [2.0**-n for n in range(1, 9)] + [2.0**-0.5, 2.0**-1.5, 2.0**-2.5, 2.0**-3.5]


@pytest.mark.parametrize(
    "num_heads, expected",
    [
        (1, [2.0**-8]),
        (2, [2.0**-4, 2.0**-8]),
        (3, [2.0**-4, 2.0**-8, 2.0**-2]),
        (6, [2.0**-2, 2.0**-4, 2.0**-6, 2.0**-8, 2.0**-1, 2.0**-3]),
        (12, TWELVE),
    ],
)
def test_slopes_of_other_counts(num_heads: int, expected: list[float]) -> None:
    assert alibi_slopes(num_heads) == pytest.approx(expected)


@pytest.mark.parametrize("num_heads", range(1, 65))
def test_slopes_are_distinct_and_between_zero_and_one(num_heads: int) -> None:
    slopes = alibi_slopes(num_heads)
    assert len(set(slopes)) == len(slopes) == num_heads
    assert all(0 < slope < 1 for slope in slopes)


@pytest.mark.parametrize("causal", [False, True])
def test_bias(causal: bool) -> None:
    module = AlibiConfig().build(PositionsShape(16, 8, 2, 16, causal))
    queries, keys = torch.tensor([[3, 9]]), torch.tensor([[0, 3, 5, 40]])
    bias = module.bias(queries, keys, torch.float64)
    assert bias is not None
    assert bias.shape == (1, 8, 2, 4)
    for head in range(8):
        expected = [[-(2.0 ** -(head + 1)) * abs(key - query) for key in keys[0]] for query in queries[0]]
        torch.testing.assert_close(bias[0, head], torch.tensor(expected, dtype=torch.float64))
    assert not list(module.parameters())
