"""One layer: self-attention, cross-attention where there is a memory, feed-forward, each on a residual branch."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from zoo.nn.attention import AttentionContext, LayerCache


class BlockParts(NamedTuple):
    """The sublayers of a block, each wrapped in its Residual."""

    self_attention: nn.Module
    cross_attention: nn.Module
    feed_forward: nn.Module


class BlockInputs(NamedTuple):
    """What every layer of one forward shares.

    Attributes:
        context: mask, bias and rotation of self-attention.
        memory_BSD: hidden states of the encoder, or None.
        memory_context: mask of cross-attention, or None.
    """

    context: AttentionContext
    memory_BSD: Tensor | None = None
    memory_context: AttentionContext | None = None


class NoCrossAttention(nn.Module):
    """The cross-attention of a block that has none."""

    def forward(self, hidden_BTD: Tensor, context: AttentionContext | None, memory_BSD: Tensor | None) -> Tensor:
        """The hidden state as it is."""
        return hidden_BTD


class Block(nn.Module):
    """Self-attention, cross-attention, feed-forward, one after the other.

    Args:
        parts: the three, each a Residual; `NoCrossAttention` where there is no memory.
    """

    def __init__(self, parts: BlockParts) -> None:
        super().__init__()
        self.self_attention = parts.self_attention
        self.cross_attention = parts.cross_attention
        self.feed_forward = parts.feed_forward

    def forward(self, hidden_BTD: Tensor, inputs: BlockInputs, cache: LayerCache | None = None) -> Tensor:
        """(B, T, D) → (B, T, D)."""
        hidden_BTD = self.self_attention(hidden_BTD, inputs.context, None, cache)
        hidden_BTD = self.cross_attention(hidden_BTD, inputs.memory_context, inputs.memory_BSD)
        return self.feed_forward(hidden_BTD)
