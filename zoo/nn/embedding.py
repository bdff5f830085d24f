"""Tokens (and segments) to hidden states.

    norm(scale · token + segment, position added by the scheme), then dropout

The token table may be shared: by the encoder and the decoder of one model, and with the output layer. It may be
narrower than the model, with a matrix that leads to its width: of the whole sum as in ALBERT (Lan et al. 2019,
arXiv:1909.11942, section 3.1) and ELECTRA (Clark et al. 2020, arXiv:2003.10555), or of the tokens alone as in OPT
(Zhang et al. 2022, arXiv:2205.01068, whose 350M model has tables of half its width).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from zoo.config import Config, setting
from zoo.errors import DataError
from zoo.nn.linear import Embedding, Linear, Site
from zoo.nn.norm import NormConfig


@dataclass(frozen=True, kw_only=True)
class FactorizationConfig(Config):
    """A token table of another width than the model's, and the matrix between them."""

    dim: int = setting(128, "width of the token table", minimum=1)
    order: Literal["sum", "tokens"] = setting(
        "sum",
        "what the matrix is applied to: sum: tokens, segments and positions, normalized and dropped out (ALBERT, "
        "ELECTRA); tokens: the tokens, and all else has the model's width (OPT)",
    )
    bias: bool = setting(True, "whether the matrix has a bias (OPT: not)", zero_adds_nothing=True)


@dataclass(frozen=True, kw_only=True)
class EmbeddingConfig(Config):
    """How tokens enter the model."""

    factorization: FactorizationConfig | None = setting(
        None, "a width of its own for the token table; null: the model's width"
    )
    scale: Literal["none", "sqrt_dim"] | float = setting(
        "none", "factor on the token embedding: none, √ of the table's width, or a number", above=0
    )
    norm: bool = setting(False, "whether the sum is normalized before the first block (BERT)")
    num_segments: int = setting(0, "segment embeddings (BERT: 2); 0: none", minimum=0)
    padding_token: int | None = setting(
        None, "id whose row starts at zero and is trained by a tied output layer only; null: no such id", minimum=0
    )

    def table_dim(self, dim: int) -> int:
        """Width of the token table in a model of width `dim`."""
        return self.factorization.dim if self.factorization else dim

    def sum_dim(self, dim: int) -> int:
        """Width of the sum of tokens, segments and positions in a model of width `dim`."""
        return self.factorization.dim if self.factorization and self.factorization.order == "sum" else dim

    def factor(self, dim: int) -> float:
        """The scale as a number, for a table of this width."""
        if isinstance(self.scale, str):
            return dim**0.5 if self.scale == "sqrt_dim" else 1.0
        return self.scale


class TokenEmbedding(nn.Module):
    """The sum of token, segment and position, normalized and dropped out.

    Args:
        config: factorization, scale, norm, segments.
        tokens: the table, which may be shared.
        norm: which norm the model uses.
        dropout: probability of dropping an element of the sum.
        dim: width D of the model.
    """

    def __init__(self, config: EmbeddingConfig, tokens: Embedding, norm: NormConfig, dropout: float, dim: int) -> None:
        super().__init__()
        width = config.sum_dim(dim)
        self.tokens = tokens
        self.scale = config.factor(tokens.embedding_dim)
        self.token_projection = _projection(config, "tokens", dim)
        self.segments = (
            Embedding(config.num_segments, width, site=Site("segment_embedding")) if config.num_segments else None
        )
        self.norm = norm.build(width) if config.norm else nn.Identity()
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()
        self.projection = _projection(config, "sum", dim)

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
        hidden_BTD = self._add_segments(self.token_projection(hidden_BTD), segments_BT)
        return self.projection(self.dropout(self.norm(embed_positions(hidden_BTD, positions_BT))))

    def _add_segments(self, hidden_BTD: Tensor, segments_BT: Tensor | None) -> Tensor:
        if self.segments is None:
            if segments_BT is not None:
                raise DataError("the input has segments, the model has no table for them; set embedding.num_segments")
            return hidden_BTD
        if segments_BT is None:
            return hidden_BTD + self.segments.weight[0]
        self.segments.check(segments_BT, "segment id", "choose a larger embedding.num_segments")
        return hidden_BTD + self.segments(segments_BT)


def _projection(config: EmbeddingConfig, place: str, dim: int) -> nn.Module:
    """The matrix from the width of the token table to that of the model, if this is its place."""
    factorization = config.factorization
    if factorization is None or factorization.order != place:
        return nn.Identity()
    return Linear(factorization.dim, dim, factorization.bias, site=Site("embedding_projection"))
