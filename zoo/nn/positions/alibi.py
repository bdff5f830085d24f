"""Attention with linear biases: scores fall off linearly with distance, faster in some heads than in others.

Press et al. 2021, arXiv:2108.12409, for causal stacks, which see only the left side. What a two-sided stack does with
the right side is not in the paper: here it has the same slopes, or `right` times these, which tells the sides apart.
The prefix of a causal stack, too, is seen both ways; there the slopes are the same on both sides.
BLOOM adds slope · key position instead; the two differ by a constant for each query, which the softmax does not see.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from zoo.config import setting
from zoo.errors import ConfigError
from zoo.nn.positions.base import Positions, PositionsConfig, PositionsShape


@dataclass(frozen=True, kw_only=True)
class AlibiConfig(PositionsConfig, kind="alibi"):
    """Linear biases with the paper's geometric slopes."""

    features: ClassVar[Mapping[str, str]] = {"bias": "positions=alibi"}

    right: float = setting(
        1.0, "factor on the slopes to the right of the query, where a stack sees both ways; 1: symmetric", minimum=0
    )

    def check_sides(self, two_sided: bool) -> None:
        """Refuses slopes for a side that is not seen."""
        if self.right != 1 and not two_sided:
            raise ConfigError(
                f"{self.right} has no effect in a model whose stacks are all causal: they see no keys to the right; "
                "leave it at 1",
                "right",
            )

    def build(self, shape: PositionsShape) -> Positions:
        """The scheme as a module without parameters."""
        return AlibiPositions(shape.num_heads, self.right)


class AlibiPositions(Positions):
    """−slope of the head · |query position − key position|, added to the scores.

    Args:
        num_heads: H.
        right: factor on the slopes where the key is to the right of the query.
    """

    def __init__(self, num_heads: int, right: float) -> None:
        super().__init__()
        self.slopes = alibi_slopes(num_heads)
        self.right = right

    def bias(self, query_positions_BT: Tensor, key_positions_BS: Tensor, dtype: torch.dtype) -> Tensor:
        """(B or 1, H, T, S) biases, float32 or finer."""
        fine = torch.promote_types(dtype, torch.float32)
        slopes_H = torch.tensor(self.slopes, device=query_positions_BT.device, dtype=fine)
        left_B1TS = query_positions_BT[:, None, :, None] - key_positions_BS[:, None, None, :]
        return -slopes_H[:, None, None] * torch.where(left_B1TS < 0, -self.right * left_B1TS, left_B1TS.to(fine))


def alibi_slopes(num_heads: int) -> list[float]:
    """The paper's slopes: a geometric sequence from 2^(−8/H) where H is a power of two.

    For other H, as in its released code: the slopes of the nearest lower power of two P, then every other slope of 2P.
    """
    power = 2 ** math.floor(math.log2(num_heads))
    slopes = [2.0 ** (-8 * (head + 1) / power) for head in range(power)]
    finer = [2.0 ** (-4 * (head + 1) / power) for head in range(2 * power)]
    return slopes + finer[0::2][: num_heads - power]
