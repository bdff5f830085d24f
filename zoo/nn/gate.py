"""A gate on what attention found, opened by the hidden state that asked.

    out · sigmoid(W hidden)

Qiu et al. 2025, "Gated Attention for Large Language Models", arXiv:2505.06708, section 2.2, the gate after the weighted
values (G1): one number for each head, or one for each element. W has no bias, as there.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from zoo.config import Config
from zoo.nn.linear import Linear, Site
from zoo.registry import Choice


@dataclass(frozen=True, kw_only=True)
class GateConfig(Config, Choice, noun="gate"):
    """What stands between what the heads found and the output projection."""

    def build(self, dim: int, num_heads: int, value_dim: int, site: Site) -> nn.Module:
        """The module: found (B, H, T, V), hidden (B, T, D) → (B, H, T, V).

        Args:
            dim: width D of the hidden state.
            num_heads: H, of what is found.
            value_dim: V.
            site: where a weight of it stands.
        """
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class NoGateConfig(GateConfig, kind="none"):
    """Nothing."""

    def build(self, dim: int, num_heads: int, value_dim: int, site: Site) -> nn.Module:
        """What is found as it is."""
        return NoGate()


@dataclass(frozen=True, kw_only=True)
class HeadGateConfig(GateConfig, kind="head"):
    """One number for each head and query: dim · num_heads weights."""

    def build(self, dim: int, num_heads: int, value_dim: int, site: Site) -> nn.Module:
        """The gate."""
        return Gate(Linear(dim, num_heads, bias=False, site=site), num_heads)


@dataclass(frozen=True, kw_only=True)
class ElementGateConfig(GateConfig, kind="element"):
    """One number for each channel of each head and query: as many weights as the output projection."""

    def build(self, dim: int, num_heads: int, value_dim: int, site: Site) -> nn.Module:
        """The gate."""
        return Gate(Linear(dim, num_heads * value_dim, bias=False, site=site), num_heads)


class NoGate(nn.Module):
    """There is none."""

    def forward(self, out_BHTV: Tensor, hidden_BTD: Tensor) -> Tensor:
        """(B, H, T, V) as it is."""
        return out_BHTV


class Gate(nn.Module):
    """out · sigmoid(project(hidden)).

    Args:
        project: hidden state to one number for each head, or one for each element of each head.
        num_heads: H.
    """

    def __init__(self, project: Linear, num_heads: int) -> None:
        super().__init__()
        self.project = project
        self.num_heads = num_heads

    def forward(self, out_BHTV: Tensor, hidden_BTD: Tensor) -> Tensor:
        """(B, H, T, V) of (B, H, T, V) and (B, T, D)."""
        opening_BTHV = torch.sigmoid(self.project(hidden_BTD)).unflatten(-1, (self.num_heads, -1))
        return out_BHTV * opening_BTHV.transpose(1, 2)
