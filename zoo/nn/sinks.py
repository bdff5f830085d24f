"""Attention sinks: a term in the denominator of the softmax that no value belongs to.

    weight of key s = exp(score_s) / (exp(sink) + Σ exp(score))

With it a head may attend to nothing. A sink of 0 is "softmax off by one": Miller 2023, "Attention Is Off By One". A
trained one for each head: gpt-oss, OpenAI 2025, arXiv:2508.10925. Why models want sinks: Xiao et al. 2023,
arXiv:2309.17453.

Deviation: trained sinks start at 0, where gpt-oss draws them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from zoo.config import Config
from zoo.registry import Choice


@dataclass(frozen=True, kw_only=True)
class SinksConfig(Config, Choice, noun="sinks"):
    """What the softmax has in its denominator beside the keys."""

    @property
    def features(self) -> Mapping[str, str]:
        """What this asks of a kernel beyond the plain softmax: feature → the setting that asks for it."""
        return {"sinks": f"sinks={self.kind}"}

    def build(self, num_heads: int) -> nn.Module:
        """The module: queries (B, H, T, K) → logits (H,), or None."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class NoSinksConfig(SinksConfig, kind="none"):
    """Nothing: the weights of a query sum to 1."""

    @property
    def features(self) -> Mapping[str, str]:
        """Nothing is asked."""
        return {}

    def build(self, num_heads: int) -> nn.Module:
        """No logits."""
        return NoSinks()


@dataclass(frozen=True, kw_only=True)
class ZeroSinksConfig(SinksConfig, kind="zero"):
    """A logit of 0: one more term exp(0) = 1."""

    def build(self, num_heads: int) -> nn.Module:
        """Zeros."""
        return ZeroSinks(num_heads)


@dataclass(frozen=True, kw_only=True)
class LearnedSinksConfig(SinksConfig, kind="learned"):
    """A trained logit for each query head."""

    def build(self, num_heads: int) -> nn.Module:
        """The logits."""
        return LearnedSinks(num_heads)


class NoSinks(nn.Module):
    """There are none."""

    def forward(self, q_BHTK: Tensor) -> None:
        """None."""


class ZeroSinks(nn.Module):
    """A logit of 0 for each head.

    Args:
        num_heads: H.
    """

    def __init__(self, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads

    def forward(self, q_BHTK: Tensor) -> Tensor:
        """(H,) zeros."""
        return q_BHTK.new_zeros(self.num_heads)


class LearnedSinks(nn.Module):
    """A trained logit for each head.

    Args:
        num_heads: H.
    """

    starts: Mapping[str, float] = {"logits": 0.0}

    def __init__(self, num_heads: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.empty(num_heads))

    def forward(self, q_BHTK: Tensor) -> Tensor:
        """(H,)."""
        return self.logits
