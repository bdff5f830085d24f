"""One layer: self-attention, cross-attention where there is a memory, feed-forward.

How the three are put together is the `kind` of the block, one file a kind. Here: one after the other, each on a
residual branch of its own (Vaswani et al. 2017, arXiv:1706.03762, section 3.1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor, nn

from zoo.config import Config
from zoo.nn.attention import AttentionContext, LayerCache
from zoo.nn.residual import Placement, Residual, Wrapping
from zoo.registry import Choice


class Sublayers(NamedTuple):
    """What a block puts together; None: the block has no such sublayer."""

    self_attention: nn.Module
    cross_attention: nn.Module | None
    feed_forward: nn.Module | None


class Placements(NamedTuple):
    """Where the norms of a layer stand: around self-attention, and around everything else."""

    self_attention: Placement
    rest: Placement


class BlockInputs(NamedTuple):
    """What every layer of the same sort shares in one forward.

    Attributes:
        context: kernel, mask, bias and rotation of self-attention.
        memory_BSD: hidden states of the encoder, or None.
        memory_context: kernel and mask of cross-attention, or None.
    """

    context: AttentionContext
    memory_BSD: Tensor | None = None
    memory_context: AttentionContext | None = None


class Absent(nn.Module):
    """The sublayer that a block does not have: it adds nothing."""

    def branch(self, hidden_BTD: Tensor, *arguments: object) -> float:
        """Nothing, to be added."""
        return 0.0

    def forward(self, hidden_BTD: Tensor, *arguments: object) -> Tensor:
        """The hidden state as it is."""
        return hidden_BTD


@dataclass(frozen=True, kw_only=True)
class BlockConfig(Config, Choice, noun="block"):
    """How a layer puts its sublayers together."""

    def check(self, placements: Placements) -> None:
        """Raises ConfigError where such a block cannot have norms at these places."""

    def build(self, sublayers: Sublayers, placements: Placements, wrapping: Wrapping) -> nn.Module:
        """The block: forward(hidden, inputs, cache) → hidden.

        Args:
            sublayers: what it puts together.
            placements: where the norms stand.
            wrapping: norm, width, dropout and sum of the residual branches.
        """
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class SequentialBlockConfig(BlockConfig, kind="sequential"):
    """One sublayer after the other, each added to the stream before the next one reads it."""

    def build(self, sublayers: Sublayers, placements: Placements, wrapping: Wrapping) -> nn.Module:
        """The block."""
        return Block(
            Residual(sublayers.self_attention, placements.self_attention, wrapping),
            *(
                Absent() if sublayer is None else Residual(sublayer, placements.rest, wrapping)
                for sublayer in (sublayers.cross_attention, sublayers.feed_forward)
            ),
        )


class Block(nn.Module):
    """Self-attention, cross-attention, feed-forward, one after the other.

    Args:
        self_attention, cross_attention, feed_forward: each a Residual, or Absent.
    """

    def __init__(self, self_attention: nn.Module, cross_attention: nn.Module, feed_forward: nn.Module) -> None:
        super().__init__()
        self.self_attention = self_attention
        self.cross_attention = cross_attention
        self.feed_forward = feed_forward

    def forward(self, hidden_BTD: Tensor, inputs: BlockInputs, cache: LayerCache | None = None) -> Tensor:
        """(B, T, D) → (B, T, D)."""
        hidden_BTD = self.self_attention(hidden_BTD, inputs.context, None, cache)
        hidden_BTD = self.cross_attention(hidden_BTD, inputs.memory_context, inputs.memory_BSD)
        return self.feed_forward(hidden_BTD)
