"""T5's buckets equal an independent reading of its paper and code, and its biases are learned by head and bucket."""

import math

import pytest
import torch

from zoo.errors import ConfigError
from zoo.nn.positions import PositionsShape
from zoo.nn.positions.relative import RelativeConfig, RelativePositions


def scheme(causal: bool, num_buckets: int = 32, max_distance: int = 128) -> RelativePositions:
    config = RelativeConfig(num_buckets=num_buckets, max_distance=max_distance)
    module = config.build(PositionsShape(8, 4, 2, 16, causal))
    assert isinstance(module, RelativePositions)
    torch.nn.init.normal_(module.table.weight)
    return module


def bucket(distance: int, causal: bool, num_buckets: int, max_distance: int) -> int:
    """One distance (key − query) at a time, in exact arithmetic.

    Half of a side's buckets hold one distance each; bucket i of the others starts where the distance has grown from
    `near` to near · (max / near)^((i − near) / (side − near)).
    """
    side = num_buckets if causal else num_buckets // 2
    start = side if not causal and distance > 0 else 0
    away = max(-distance, 0) if causal else abs(distance)
    near = side // 2
    if away < near:
        return start + away
    found = near
    while found + 1 < side and away >= border(found + 1, near, side, max_distance):
        found += 1
    return start + found


def border(index: int, near: int, side: int, max_distance: int) -> float:
    return near * math.exp(math.log(max_distance / near) * (index - near) / (side - near)) - 1e-4


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("num_buckets, max_distance", [(32, 128), (8, 20), (4, 5), (64, 1000)])
def test_buckets(causal: bool, num_buckets: int, max_distance: int) -> None:
    module = scheme(causal, num_buckets, max_distance)
    distances = range(-2 * max_distance, 2 * max_distance + 1)
    found = module.bucket(torch.tensor(list(distances))).tolist()
    assert found == [bucket(distance, causal, num_buckets, max_distance) for distance in distances]
    assert set(found) <= set(range(num_buckets))


def test_known_buckets() -> None:
    """T5's own: 32 buckets, 128; causal keeps 16 single distances, two-sided 8 on each side."""
    causal, both = scheme(True), scheme(False)
    assert causal.bucket(torch.tensor([0, -1, -15, -16, -127, -128, -999, 5])).tolist() == [0, 1, 15, 16, 31, 31, 31, 0]
    assert both.bucket(torch.tensor([0, -1, -7, -8, -127, -999])).tolist() == [0, 1, 7, 8, 15, 15]
    assert both.bucket(torch.tensor([1, 7, 8, 127, 999])).tolist() == [17, 23, 24, 31, 31]


@pytest.mark.parametrize("causal", [False, True])
def test_buckets_never_fall_with_distance(causal: bool) -> None:
    left = scheme(causal).bucket(-torch.arange(0, 300))
    assert (left.diff() >= 0).all()
    assert left.unique().numel() == (32 if causal else 16)


@pytest.mark.parametrize("causal", [False, True])
def test_bias_is_looked_up(causal: bool) -> None:
    module = scheme(causal)
    queries, keys = torch.tensor([[4, 90]]), torch.tensor([[0, 4, 60]])
    bias = module.bias(queries, keys, torch.float32)
    assert bias.shape == (1, 4, 2, 3)
    for t, query in enumerate((4, 90)):
        for s, key in enumerate((0, 4, 60)):
            row = bucket(key - query, causal, 32, 128)
            torch.testing.assert_close(bias[0, :, t, s], module.table.weight[row])


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"num_buckets": 7}, "num_buckets: 7 must be even"),
        ({"num_buckets": 2}, "num_buckets: 2 must be at least 4"),
        ({"max_distance": 16}, "max_distance: 16 must exceed half of num_buckets=32"),
    ],
)
def test_refusals(settings: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        RelativeConfig(**settings)
