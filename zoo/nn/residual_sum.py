"""How a residual branch is added to the stream: skip · hidden + scale · branch, with the factors of one of the papers.

He et al. 2015, arXiv:1512.03385: both factors are 1.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from zoo.config import Config
from zoo.nn.linear import Depth
from zoo.registry import Choice


@dataclass(frozen=True, kw_only=True)
class ResidualConfig(Config, Choice, noun="residual"):
    """How a branch is added to the residual stream."""

    def build(self, dim: int, depth: Depth) -> nn.Module:
        """The module (hidden, branch) → sum, each (B, T, D).

        Args:
            dim: width D.
            depth: of the model.
        """
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class PlainResidualConfig(ResidualConfig, kind="plain"):
    """hidden + branch."""

    def build(self, dim: int, depth: Depth) -> nn.Module:
        """The plain sum."""
        return PlainSum()


class PlainSum(nn.Module):
    """hidden + branch."""

    def forward(self, hidden_BTD: Tensor, branch_BTD: Tensor) -> Tensor:
        """(B, T, D) of two (B, T, D)."""
        return hidden_BTD + branch_BTD
