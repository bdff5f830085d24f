"""N blocks, their positional scheme, and the final norm where the placement asks for one.

A stack prepares rotation tables, bias and mask once a forward and hands them to its blocks.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from torch import Tensor, nn

from zoo.config import Config, setting
from zoo.errors import ConfigError
from zoo.nn.attend import KERNELS
from zoo.nn.attention import Attention, AttentionConfig, AttentionContext, Heads, LayerCache, no_rotation
from zoo.nn.block import Block, BlockInputs, BlockParts, NoCrossAttention
from zoo.nn.feed_forward import FeedForwardConfig, PlainFeedForwardConfig
from zoo.nn.mask import AttentionMask
from zoo.nn.norm import LayerNormConfig, NormConfig
from zoo.nn.positions import PositionsConfig, PositionsShape
from zoo.nn.positions.learned import LearnedConfig
from zoo.nn.residual import PLACEMENTS, Residual
from zoo.registry import unknown_name


@dataclass(frozen=True, kw_only=True)
class DropoutConfig(Config):
    """Probability of dropping an element, at each place by itself; 0: nothing is dropped."""

    embedding: float = setting(0.0, "of the embeddings", minimum=0, below=1)
    attention: float = setting(0.0, "of the attention weights", minimum=0, below=1)
    residual: float = setting(0.0, "of each residual branch before it is added", minimum=0, below=1)
    feed_forward: float = setting(0.0, "of the inner activations of the feed-forward (T5)", minimum=0, below=1)
    final: float = setting(0.0, "of the output of the stack (T5)", minimum=0, below=1)


@dataclass(frozen=True, kw_only=True)
class StackConfig(Config):
    """The shape of a stack and the parts it is made of."""

    dim: int = setting(128, "width of the hidden state", minimum=1)
    num_layers: int = setting(4, "blocks of the stack", minimum=1)
    num_heads: int = setting(4, "query heads", minimum=1)
    num_kv_heads: int | None = setting(None, "key and value heads, a divisor of num_heads; null: num_heads", minimum=1)
    head_dim: int | None = setting(None, "width of one head; null: dim / num_heads", minimum=1)
    feed_forward_dim: int | None = setting(None, "inner width of the feed-forward; null: 4 · dim", minimum=1)
    max_length: int = setting(128, "most positions of one row", minimum=1)
    attention: AttentionConfig = setting(AttentionConfig(), "attention")
    feed_forward: FeedForwardConfig = setting(PlainFeedForwardConfig(), "feed-forward")
    norm: NormConfig = setting(LayerNormConfig(), "the norm, at every place that has one")
    placement: str = setting("pre", f"where the norms stand: {', '.join(PLACEMENTS)}")
    positions: PositionsConfig = setting(LearnedConfig(), "positional scheme")
    dropout: DropoutConfig = setting(DropoutConfig(), "dropout, place by place")

    def validate(self) -> None:
        """Refuses an unknown placement, and heads that do not divide what they share."""
        if self.placement not in PLACEMENTS:
            raise ConfigError(unknown_name("norm placement", self.placement, PLACEMENTS), "placement")
        if self.head_dim is None and self.dim % self.num_heads:
            raise ConfigError(
                f"{self.num_heads} heads do not divide dim={self.dim}; choose a divisor or set head_dim", "num_heads"
            )
        if self.num_heads % self.attention_heads.num_kv_heads:
            legal = ", ".join(str(count) for count in range(1, self.num_heads + 1) if self.num_heads % count == 0)
            raise ConfigError(
                f"{self.num_kv_heads} does not divide num_heads={self.num_heads} (legal: {legal})", "num_kv_heads"
            )

    @property
    def attention_heads(self) -> Heads:
        """Query heads, key and value heads, and the width of one."""
        return Heads(self.num_heads, self.num_kv_heads or self.num_heads, self.head_dim or self.dim // self.num_heads)

    @property
    def inner_dim(self) -> int:
        """Inner width F of the feed-forward."""
        return self.feed_forward_dim or 4 * self.dim

    def positions_shape(self, causal: bool) -> PositionsShape:
        """The numbers that a positional scheme may need."""
        return PositionsShape(self.dim, self.num_heads, self.attention_heads.head_dim, self.max_length, causal)


class StackCache(Protocol):
    """Keys, values, positions and document ids of earlier calls, layer by layer."""

    @property
    def length(self) -> int:
        """How many places of the row are cached."""

    def append(self, positions_BT: Tensor, documents_BT: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Adds the places of this call and returns positions and documents of all keys, (B, S) each."""

    def layer(self, index: int) -> LayerCache:
        """The cache of one layer."""


class Memory(NamedTuple):
    """What a decoder looks at besides itself.

    Attributes:
        hidden_BSD: hidden states of the encoder.
        documents_BS: their document ids, −1 padding; None: one document, no padding.
    """

    hidden_BSD: Tensor
    documents_BS: Tensor | None


class Stack(nn.Module):
    """Blocks one after the other, then the final norm and dropout.

    Args:
        config: shape and parts.
        causal: whether a position sees only itself and earlier ones.
        cross: whether each block also attends to a memory of the same width.
    """

    def __init__(self, config: StackConfig, *, causal: bool, cross: bool = False) -> None:
        super().__init__()
        self.causal = causal
        window = config.attention.window
        self.window = (window, 0 if causal else window) if window is not None else (None, None)
        shape = config.positions_shape(causal)
        config.positions.check(shape)
        self.positions = config.positions.build(shape)
        self.blocks = nn.ModuleList(build_block(config, cross) for _ in range(config.num_layers))
        placement = PLACEMENTS[config.placement]
        self.norm = config.norm.build(config.dim) if placement.needs_final_norm else nn.Identity()
        self.dropout = nn.Dropout(config.dropout.final) if config.dropout.final else nn.Identity()
        self.kernel = KERNELS[config.attention.kernel]

    def forward(
        self,
        hidden_BTD: Tensor,
        positions_BT: Tensor,
        documents_BT: Tensor | None = None,
        memory: Memory | None = None,
        *,
        prefix_BS: Tensor | None = None,
        cache: StackCache | None = None,
    ) -> Tensor:
        """(B, T, D) → (B, T, D).

        Args:
            hidden_BTD: embeddings.
            positions_BT: (B or 1, T) int64 position of each place in its document.
            documents_BT: document id of each place, −1 padding; None: one document, no padding.
            memory: what cross-attention looks at.
            prefix_BS: bool, places that see each other both ways in a causal stack.
            cache: earlier places of the same rows.
        """
        offset, key_positions, key_documents = 0, positions_BT, documents_BT
        if cache is not None:
            offset = cache.length
            key_positions, key_documents = cache.append(positions_BT, documents_BT)
        mask = AttentionMask(self.causal, prefix_BS, documents_BT, key_documents, self.window, offset)
        bias = self.positions.bias(positions_BT, key_positions, hidden_BTD.dtype)
        inputs = BlockInputs(
            AttentionContext(
                self.kernel.prepare(mask, bias, key_positions.shape[1], hidden_BTD),
                functools.partial(self.positions.rotate, tables=self.positions.prepare(positions_BT, hidden_BTD.dtype)),
            ),
            *self._memory_inputs(hidden_BTD, documents_BT, memory),
        )
        for index, block in enumerate(self.blocks):
            hidden_BTD = block(hidden_BTD, inputs, None if cache is None else cache.layer(index))
        return self.dropout(self.norm(hidden_BTD))

    def _memory_inputs(
        self, hidden_BTD: Tensor, documents_BT: Tensor | None, memory: Memory | None
    ) -> tuple[Tensor | None, AttentionContext | None]:
        """The memory and who may see what of it: a document sees its own part only."""
        if memory is None:
            return None, None
        query_documents, key_documents = documents_BT, memory.documents_BS
        if query_documents is None and key_documents is not None:
            query_documents = key_documents.new_zeros(hidden_BTD.shape[:2])
        if key_documents is None and query_documents is not None:
            key_documents = query_documents.new_zeros(memory.hidden_BSD.shape[:2])
        mask = AttentionMask(query_documents=query_documents, key_documents=key_documents)
        prepared = self.kernel.prepare(mask, None, memory.hidden_BSD.shape[1], hidden_BTD)
        return memory.hidden_BSD, AttentionContext(prepared, no_rotation)


def build_block(config: StackConfig, cross: bool) -> Block:
    """One block of the stack: its sublayers, each in a Residual."""
    num_branches = config.num_layers * (3 if cross else 2)

    def residual(sublayer: nn.Module) -> Residual:
        return Residual(sublayer, PLACEMENTS[config.placement], config.norm, config.dim, config.dropout.residual)

    def attention() -> Residual:
        return residual(
            Attention(
                config.attention,
                config.dim,
                config.attention_heads,
                dropout=config.dropout.attention,
                num_branches=num_branches,
            )
        )

    return Block(
        BlockParts(
            self_attention=attention(),
            cross_attention=attention() if cross else NoCrossAttention(),
            feed_forward=residual(
                config.feed_forward.build(config.dim, config.inner_dim, config.dropout.feed_forward, num_branches)
            ),
        )
    )
