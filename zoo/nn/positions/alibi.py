"""Attention with linear biases: scores fall off linearly with distance, faster in some heads than in others.

Press et al. 2021, arXiv:2108.12409. Causal stacks see only the left side; two-sided stacks use the same slopes on both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from zoo.nn.positions.base import Positions, PositionsConfig, PositionsShape


@dataclass(frozen=True, kw_only=True)
class AlibiConfig(PositionsConfig, kind="alibi"):
    """Linear biases with the paper's geometric slopes."""

    def build(self, shape: PositionsShape) -> Positions:
        """The scheme as a module without parameters."""
        return AlibiPositions(shape.num_heads)


class AlibiPositions(Positions):
    """−slope of the head · |query position − key position|, added to the scores.

    Args:
        num_heads: H.
    """

    def __init__(self, num_heads: int) -> None:
        super().__init__()
        self.slopes = alibi_slopes(num_heads)

    def bias(self, query_positions_BT: Tensor, key_positions_BS: Tensor, dtype: torch.dtype) -> Tensor:
        """(B or 1, H, T, S) biases, float32 or finer."""
        fine = torch.promote_types(dtype, torch.float32)
        slopes_H = torch.tensor(self.slopes, device=query_positions_BT.device, dtype=fine)
        distance = (query_positions_BT[:, None, :, None] - key_positions_BS[:, None, None, :]).abs()
        return -slopes_H[:, None, None] * distance


def alibi_slopes(num_heads: int) -> list[float]:
    """The paper's slopes: a geometric sequence from 2^(−8/H) where H is a power of two.

    For other H, as in its released code: the slopes of the nearest lower power of two P, then every other slope of 2P.
    """
    power = 2 ** math.floor(math.log2(num_heads))
    slopes = [2.0 ** (-8 * (head + 1) / power) for head in range(power)]
    finer = [2.0 ** (-4 * (head + 1) / power) for head in range(2 * power)]
    return slopes + finer[0::2][: num_heads - power]
