"""Tokens (and segments) to hidden states.

    norm(scale · token + segment, position added by the scheme), then dropout

The token table may be shared: by the encoder and the decoder of one model, and with the output layer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from zoo.config import Config, setting
from zoo.errors import DataError
from zoo.nn.linear import Embedding, Site
from zoo.nn.norm import NormConfig


@dataclass(frozen=True, kw_only=True)
class EmbeddingConfig(Config):
    """How tokens enter the model."""

    scale: Literal["none", "sqrt_dim"] = setting("none", "factor on the token embedding: none, or √dim")
    norm: bool = setting(False, "whether the sum is normalized before the first block (BERT)")
    num_segments: int = setting(0, "segment embeddings (BERT: 2); 0: none", minimum=0)
    padding_token: int | None = setting(
        None, "id whose row starts at zero and is trained by a tied output layer only; null: no such id", minimum=0
    )


class TokenEmbedding(nn.Module):
    """The sum of token, segment and position, normalized and dropped out.

    Args:
        config: scale, norm, segments.
        tokens: the table (V, D), which may be shared.
        norm: which norm the model uses.
        dropout: probability of dropping an element of the result.
    """

    def __init__(self, config: EmbeddingConfig, tokens: Embedding, norm: NormConfig, dropout: float) -> None:
        super().__init__()
        dim = tokens.embedding_dim
        self.tokens = tokens
        self.scale = dim**0.5 if config.scale == "sqrt_dim" else 1.0
        self.segments = (
            Embedding(config.num_segments, dim, site=Site("segment_embedding")) if config.num_segments else None
        )
        self.norm = norm.build(dim) if config.norm else nn.Identity()
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()

    def forward(
        self,
        tokens_BT: Tensor,
        positions_BT: Tensor,
        segments_BT: Tensor | None,
        embed_positions: Callable[[Tensor, Tensor], Tensor],
    ) -> Tensor:
        """(B, T) ids → (B, T, D).

        Args:
            tokens_BT: token ids in [0, V).
            positions_BT: (B or 1, T) position of each token in its document.
            segments_BT: segment ids in [0, num_segments); None: all 0.
            embed_positions: the scheme's `embed`.

        Raises:
            DataError: an id lies outside its table, or there are segments and the model has no table for them.
        """
        self.tokens.check(tokens_BT, "token id", "the tokenizer and the model's vocab_size do not belong together")
        hidden_BTD = self.tokens(tokens_BT)
        if self.scale != 1.0:
            hidden_BTD = hidden_BTD * self.scale
        hidden_BTD = self._add_segments(hidden_BTD, segments_BT)
        return self.dropout(self.norm(embed_positions(hidden_BTD, positions_BT)))

    def _add_segments(self, hidden_BTD: Tensor, segments_BT: Tensor | None) -> Tensor:
        if self.segments is None:
            if segments_BT is not None:
                raise DataError("the input has segments, the model has no table for them; set embedding.num_segments")
            return hidden_BTD
        if segments_BT is None:
            return hidden_BTD + self.segments.weight[0]
        self.segments.check(segments_BT, "segment id", "choose a larger embedding.num_segments")
        return hidden_BTD + self.segments(segments_BT)
