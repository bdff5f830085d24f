"""The factor on the scores of attention.

1/√K, K the width of a head: Vaswani et al. 2017, arXiv:1706.03762, section 3.2.1. 1/K: Yang et al. 2022 (muP),
arXiv:2203.03466, definition 4.1. A trained factor: Henry et al. 2020, arXiv:2010.04245; one for each head: Liu et al.
2021 (Swin v2), arXiv:2111.09883.

Deviation: a trained factor starts at 1/√K, where those two start at numbers of their own. It is 1/√K times a parameter
that starts at 1 and multiplies the queries, so that every kernel serves it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from zoo.config import Config, setting
from zoo.nn.init import WidthEntry
from zoo.registry import Choice


@dataclass(frozen=True, kw_only=True)
class ScaleConfig(Config, Choice, noun="scale"):
    """Which factor the scores have."""

    trained: ClassVar[bool] = False
    """Whether training changes it."""

    def factor(self, head_dim: int) -> float:
        """The fixed part of the factor, of heads so wide."""
        raise NotImplementedError

    def width_entries(self, head_dim: int) -> Iterable[WidthEntry]:
        """Itself, where it is not 1/head_dim at this width; a key "" is the scale itself."""
        if self.trained or self.factor(head_dim) != 1 / head_dim:
            yield WidthEntry("", self.kind, "scores must shrink as 1/head_dim; set attention.scale=inverse")

    def build(self, num_heads: int) -> nn.Module:
        """The trained part of the factor, as a module on the queries (B, H, T, K)."""
        return nn.Identity()


@dataclass(frozen=True, kw_only=True)
class InverseSqrtScaleConfig(ScaleConfig, kind="inverse_sqrt"):
    """1/√head_dim."""

    def factor(self, head_dim: int) -> float:
        """1/√head_dim."""
        return head_dim**-0.5


@dataclass(frozen=True, kw_only=True)
class InverseScaleConfig(ScaleConfig, kind="inverse"):
    """1/head_dim: scores keep their size where queries and keys align as the width grows (muP)."""

    def factor(self, head_dim: int) -> float:
        """1/head_dim."""
        return 1 / head_dim


@dataclass(frozen=True, kw_only=True)
class ConstantScaleConfig(ScaleConfig, kind="constant"):
    """The same number whatever the width."""

    value: float = setting(1.0, "the factor (T5, and no factor at all: 1)", above=0)

    def factor(self, head_dim: int) -> float:
        """The number."""
        return self.value


@dataclass(frozen=True, kw_only=True)
class LearnedScaleConfig(ScaleConfig, kind="learned"):
    """A trained temperature that starts at 1/√head_dim."""

    trained: ClassVar[bool] = True

    per_head: bool = setting(True, "whether each query head has a factor of its own")

    def factor(self, head_dim: int) -> float:
        """Where the factor starts."""
        return head_dim**-0.5

    def build(self, num_heads: int) -> nn.Module:
        """What training changes about it."""
        return LearnedScale(num_heads if self.per_head else 1)


class LearnedScale(nn.Module):
    """Queries times a parameter that starts at 1.

    Args:
        num_factors: one for each head, or 1 for all.
    """

    def __init__(self, num_factors: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num_factors))

    def forward(self, q_BHTK: Tensor) -> Tensor:
        """(B, H, T, K) → (B, H, T, K), in the dtype of the queries, which is that of the keys under autocast too."""
        return q_BHTK * self.weight.to(q_BHTK.dtype)[:, None, None]
