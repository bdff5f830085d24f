"""T5's relative bias: a learned scalar for each head and bucket of distances, added to the scores.

Raffel et al. 2020, arXiv:1910.10683, section 2.1. Near distances have a bucket each, farther ones share logarithmically
growing buckets, all past `max_distance` share the last. Two-sided stacks spend half of the buckets on each side. T5
shares one table over the layers of a stack, as here, because the stack asks for the bias once.
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
from zoo.nn.linear import Embedding, Site
from zoo.nn.positions.base import Positions, PositionsConfig, PositionsShape


@dataclass(frozen=True, kw_only=True)
class RelativeConfig(PositionsConfig, kind="relative"):
    """Learned biases of bucketed distances."""

    features: ClassVar[Mapping[str, str]] = {"bias": "positions=relative"}

    num_buckets: int = setting(32, "how many buckets, both sides together", minimum=4)
    max_distance: int = setting(128, "distances from here on share the last bucket, in positions", minimum=2)

    def validate(self) -> None:
        """The far buckets must lie between the last near distance and max_distance."""
        if self.num_buckets % 2:
            raise ConfigError(f"{self.num_buckets} must be even", "num_buckets")
        if self.max_distance <= self.num_buckets // 2:
            raise ConfigError(f"{self.max_distance} must exceed half of num_buckets={self.num_buckets}", "max_distance")

    def build(self, shape: PositionsShape) -> Positions:
        """The table as a module."""
        return RelativePositions(self, shape.num_heads, shape.causal)


class RelativePositions(Positions):
    """table[bucket(key position − query position)] of each head, added to the scores.

    Args:
        config: number of buckets and farthest distance.
        num_heads: H.
        causal: whether all buckets lie on the left side.
    """

    def __init__(self, config: RelativeConfig, num_heads: int, causal: bool) -> None:
        super().__init__()
        self.num_buckets = config.num_buckets
        self.max_distance = config.max_distance
        self.causal = causal
        self.table = Embedding(config.num_buckets, num_heads, site=Site("relative_bias"))

    def bias(self, query_positions_BT: Tensor, key_positions_BS: Tensor, dtype: torch.dtype) -> Tensor:
        """(B or 1, H, T, S) biases."""
        relative_BTS = key_positions_BS[:, None, :] - query_positions_BT[:, :, None]
        return self.table(self.bucket(relative_BTS)).permute(0, 3, 1, 2)

    def bucket(self, relative: Tensor) -> Tensor:
        """Bucket of each relative position (key − query), int64 of the same shape, in [0, num_buckets).

        The logarithm is taken in float32 whatever the model's dtype, as in the original: its rounding decides borders.
        """
        if self.causal:
            buckets, offset, distance = self.num_buckets, relative.new_zeros(()), (-relative).clamp(min=0)
        else:
            buckets, distance = self.num_buckets // 2, relative.abs()
            offset = (relative > 0).long() * buckets
        near = buckets // 2
        growth = torch.log(distance.clamp(min=1).to(torch.float32) / near) / math.log(self.max_distance / near)
        far = (near + (growth * (buckets - near)).long()).clamp(max=buckets - 1)
        return offset + torch.where(distance < near, distance, far)
