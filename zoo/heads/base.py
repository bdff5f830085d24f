"""What a head is: it turns the hidden states of any backbone that gives it what it needs into logits."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from torch import Tensor, nn

from zoo.config import Config
from zoo.nn.init import WidthEntry
from zoo.nn.linear import Embedding
from zoo.nn.norm import NormConfig
from zoo.registry import Choice


class HeadShape(NamedTuple):
    """What a model hands to the heads it builds.

    Attributes:
        dim: width D of the hidden states.
        vocab_size: V; the token table may have spare rows behind them.
        tokens: the token table, for a tied output layer.
        norm: which norm the model uses.
        factorized: whether the token table has a width of its own, from which a matrix leads to D.
    """

    dim: int
    vocab_size: int
    tokens: Embedding
    norm: NormConfig
    factorized: bool = False


@dataclass(frozen=True, kw_only=True)
class HeadConfig(Config, Choice, noun="head"):
    """Which head sits on the backbone."""

    families: ClassVar[tuple[str, ...]]
    """The families of models whose backbone gives this head what it needs."""

    def check_family(self, family: str, causal: bool) -> None:
        """Raises ConfigError where a setting does not go with what the hidden states of a family have seen.

        Args:
            family: one of `families`.
            causal: whether a hidden state has seen only its own token and those before it.
        """

    def width_entries(self) -> Iterable[WidthEntry]:
        """The settings by which the width scales something besides the head's own weights."""
        return ()

    def build(self, shape: HeadShape) -> Head:
        """The head as a module."""
        raise NotImplementedError


class Head(nn.Module):
    """Hidden states (B, T, D) to logits."""

    def forward(self, hidden_BTD: Tensor) -> Tensor:
        """The logits."""
        raise NotImplementedError
