"""How a residual branch is added to the stream: skip · hidden + scale · branch, with the factors of one of the papers.

| kind          | skip  | scale                | source                                                             |
|---------------|-------|----------------------|--------------------------------------------------------------------|
| plain         | 1     | 1                    | He et al. 2015, arXiv:1512.03385                                   |
| deepnorm      | alpha | 1                    | Wang et al. 2022, arXiv:2203.00555; with placement post            |
| scaled_branch | 1     | a number             | 1/√branches: Yang et al. 2023, arXiv:2310.02244                   |
| layer_scale   | 1     | a trained vector     | Touvron et al. 2021, arXiv:2103.17239 (CaiT)                       |
| rezero        | 1     | a trained number     | Bachlechner et al. 2020, arXiv:2003.04887                          |
| none          | 0     | 1                    | ablations                                                          |

Deviations: ReZero has no norms and one number for all branches of a layer; here the norms are as `placement` says, and
each branch has its own number.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from zoo.config import Config, setting
from zoo.nn.linear import Depth
from zoo.registry import Choice


@dataclass(frozen=True, kw_only=True)
class ResidualConfig(Config, Choice, noun="residual"):
    """How a branch is added to the residual stream."""

    needs_outer_norm: ClassVar[bool] = False
    """Whether the sum has to be normalized, because it would grow from branch to branch."""

    @property
    def stuck_at_zero(self) -> str:
        """Why a model would never learn whose branches all start at zero; "": it would."""
        return ""

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


# ------------------------------------------------------------------------------------------------------- fixed numbers


@dataclass(frozen=True, kw_only=True)
class DeepNormResidualConfig(ResidualConfig, kind="deepnorm"):
    """alpha · hidden + branch, in a stack with `placement: post`; made for `initialization: deepnorm`."""

    needs_outer_norm: ClassVar[bool] = True

    alpha: float | None = setting(None, "factor on the stream; null: the paper's, from the depth", above=0)

    def build(self, dim: int, depth: Depth) -> nn.Module:
        """The sum with a scaled stream."""
        return ScaledSkip(self.alpha or deepnorm_alpha(depth))


def deepnorm_alpha(depth: Depth) -> float:
    """Wang et al. 2022, figure 2: N encoder layers and M decoder layers; 1 outside of a stack."""
    encoder, decoder = depth.encoder_layers, depth.decoder_layers
    if encoder and decoder:
        return float((3 * decoder) ** 0.25 if depth.in_decoder else 0.81 * (encoder**4 * decoder) ** (1 / 16))
    return float((2 * (encoder or decoder)) ** 0.25) if encoder or decoder else 1.0


class ScaledSkip(nn.Module):
    """skip · hidden + branch.

    Args:
        skip: factor on the stream.
    """

    def __init__(self, skip: float) -> None:
        super().__init__()
        self.skip = skip

    def forward(self, hidden_BTD: Tensor, branch_BTD: Tensor) -> Tensor:
        """(B, T, D) of two (B, T, D)."""
        return self.skip * hidden_BTD + branch_BTD


@dataclass(frozen=True, kw_only=True)
class ScaledBranchResidualConfig(ResidualConfig, kind="scaled_branch"):
    """hidden + scale · branch."""

    scale: float | None = setting(None, "factor on the branch; null: 1/√(residual branches of the stack)", above=0)

    def build(self, dim: int, depth: Depth) -> nn.Module:
        """The sum with a scaled branch."""
        return ScaledBranch(self.scale or max(depth.num_branches, 1) ** -0.5)


class ScaledBranch(nn.Module):
    """hidden + scale · branch.

    Args:
        scale: factor on the branch.
    """

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, hidden_BTD: Tensor, branch_BTD: Tensor) -> Tensor:
        """(B, T, D) of two (B, T, D)."""
        return hidden_BTD + self.scale * branch_BTD


# ------------------------------------------------------------------------------------------------------ trained numbers

_BOTH_FACTORS = "is zero as well, and with both factors at zero neither ever has a gradient"


@dataclass(frozen=True, kw_only=True)
class LayerScaleResidualConfig(ResidualConfig, kind="layer_scale"):
    """hidden + weight · branch, a trained weight for each number of the width."""

    start: float = setting(0.1, "of the weight (CaiT: 0.1 up to 18 layers, 1e-5 up to 24, then 1e-6)", minimum=0)

    @property
    def stuck_at_zero(self) -> str:
        """Where the weight starts at zero too."""
        return "" if self.start else f"start={self.start} {_BOTH_FACTORS}"

    def build(self, dim: int, depth: Depth) -> nn.Module:
        """The sum with a weighted branch."""
        return WeightedBranch(dim, self.start)


@dataclass(frozen=True, kw_only=True)
class ReZeroResidualConfig(ResidualConfig, kind="rezero"):
    """hidden + weight · branch, where the weight is one number that starts at 0."""

    @property
    def stuck_at_zero(self) -> str:
        """Always."""
        return f"the weight of a branch {_BOTH_FACTORS}"

    def build(self, dim: int, depth: Depth) -> nn.Module:
        """The sum with a weighted branch."""
        return WeightedBranch(1, 0.0)


class WeightedBranch(nn.Module):
    """hidden + weight · branch.

    Args:
        size: of the weight: the width D, or 1.
        start: what the weight starts at.
    """

    def __init__(self, size: int, start: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(size))
        self.starts = {"weight": start}

    def forward(self, hidden_BTD: Tensor, branch_BTD: Tensor) -> Tensor:
        """(B, T, D) of two (B, T, D)."""
        return hidden_BTD + self.weight * branch_BTD


# -------------------------------------------------------------------------------------------------------------- no sum


@dataclass(frozen=True, kw_only=True)
class NoResidualConfig(ResidualConfig, kind="none"):
    """The branch alone: no residual stream."""

    @property
    def stuck_at_zero(self) -> str:
        """Always."""
        return "without a stream the first layer passes nothing on"

    def build(self, dim: int, depth: Depth) -> nn.Module:
        """The branch."""
        return OnlyBranch()


class OnlyBranch(nn.Module):
    """branch."""

    def forward(self, hidden_BTD: Tensor, branch_BTD: Tensor) -> Tensor:
        """(B, T, D) of two (B, T, D): the second."""
        return branch_BTD
