"""How well a query and a key fit: by their product, or by a small network.

The dot product: Vaswani et al. 2017, arXiv:1706.03762, section 3.2.1. Additive: Bahdanau et al. 2014, arXiv:1409.0473,
appendix A.1.2, vᵀ tanh(W query + U key), where W and U are the projections of queries and keys that attention has
anyway.

Deviations: each head has its v, as each has its queries and keys. The factor `scale` stands before additive scores too;
v, which starts at 1 in every channel, absorbs it. A rotation of queries and keys by their positions acts inside the
tanh, where it does not cancel: scores then depend on where the two are, and not only on how far apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from zoo.config import Config
from zoo.nn.projection import Heads
from zoo.registry import Choice


@dataclass(frozen=True, kw_only=True)
class ScoreConfig(Config, Choice, noun="score"):
    """How queries and keys are compared."""

    features: ClassVar[Mapping[str, str]] = {}
    """What this asks of a kernel beyond the plain softmax: feature → the setting that asks for it."""

    def build(self, heads: Heads) -> nn.Module:
        """The module () → what a kernel needs beside queries and keys (`Scoring.additive`)."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class DotScoreConfig(ScoreConfig, kind="dot"):
    """query · key."""

    def build(self, heads: Heads) -> nn.Module:
        """Nothing beside queries and keys."""
        return DotScore()


@dataclass(frozen=True, kw_only=True)
class AdditiveScoreConfig(ScoreConfig, kind="additive"):
    """vᵀ tanh(query + key), one v for each head: T · S · head_dim numbers in memory."""

    features: ClassVar[Mapping[str, str]] = {"additive": "score=additive"}

    def build(self, heads: Heads) -> nn.Module:
        """The vectors v."""
        return AdditiveScore(heads)


class DotScore(nn.Module):
    """A dot product needs nothing."""

    def forward(self) -> None:
        """None: there are no vectors."""


class AdditiveScore(nn.Module):
    """The vectors v of all heads.

    Args:
        heads: how many and how wide.
    """

    def __init__(self, heads: Heads) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(heads.num_heads, heads.head_dim))

    def forward(self) -> Tensor:
        """(H, K)."""
        return self.weight
