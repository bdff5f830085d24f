"""Encoder-decoder models (the original Transformer, T5): a causal decoder that also looks at an encoded input.

Vaswani et al. 2017, arXiv:1706.03762; Raffel et al. 2020, arXiv:1910.10683. Encoder and decoder share the token table.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from zoo.config import setting
from zoo.errors import ConfigError
from zoo.models.base import Backbone, ModelConfig, row_positions
from zoo.nn.embedding import TokenEmbedding
from zoo.nn.linear import Depth, Embedding
from zoo.nn.padding import padding_aware, tell_padding
from zoo.nn.stack import Memory, Stack, StackCache


@dataclass(frozen=True, kw_only=True)
class EncoderDecoderConfig(ModelConfig, kind="encoder_decoder"):
    """An encoder-decoder model; the stack's settings hold for both sides."""

    causal: ClassVar[bool] = True

    num_decoder_layers: int | None = setting(None, "blocks of the decoder; null: num_layers", minimum=1)

    def validate(self) -> None:
        """Refuses segments, which neither side takes."""
        super().validate()
        if self.embedding.num_segments:
            raise ConfigError(
                f"model 'encoder_decoder' takes no segments: must be 0, not {self.embedding.num_segments}",
                "embedding.num_segments",
            )

    def stack_directions(self) -> tuple[bool, ...]:
        """The encoder sees both ways, the decoder the past only."""
        return (False, True)

    def build_backbone(self) -> Backbone:
        """Encoder and decoder, their weights unset."""
        return EncoderDecoder(self)


class EncoderDecoder(Backbone):
    """Token ids of an input and of an output so far to hidden states of the output.

    Args:
        config: the model's config.
    """

    output_side: ClassVar[str] = "decoder_"

    def __init__(self, config: EncoderDecoderConfig) -> None:
        super().__init__()
        table, dropout = config.token_table(), config.dropout.embedding
        decoder = dataclasses.replace(config, num_layers=config.num_decoder_layers or config.num_layers)
        depth = Depth(config.num_layers, decoder.num_layers)
        self.encoder_embedding = TokenEmbedding(config.embedding, table, config.norm, dropout)
        self.encoder = Stack(config, causal=False, depth=depth)
        self.decoder_embedding = TokenEmbedding(config.embedding, table, config.norm, dropout)
        self.encoder_padding_aware = padding_aware(self.encoder_embedding)
        self.decoder_padding_aware = padding_aware(self.decoder_embedding)
        self.decoder = Stack(decoder, causal=True, memory_dim=config.dim, depth=depth._replace(in_decoder=True))

    @property
    def tokens(self) -> Embedding:
        """The token table (V, D)."""
        return self.encoder_embedding.tokens

    def forward(
        self,
        tokens: Tensor,
        decoder_tokens: Tensor,
        positions: Tensor | None = None,
        documents: Tensor | None = None,
        decoder_positions: Tensor | None = None,
        decoder_documents: Tensor | None = None,
    ) -> Tensor:
        """(B, S) and (B, T) ids → (B, T, D) hidden states of the decoder.

        Args:
            tokens, decoder_tokens: (B, S) and (B, T) int64 ids in [0, vocab_size).
            positions, decoder_positions: position of each token in its document; None: 0 … length−1.
            documents, decoder_documents: document ids, −1 padding: a document of the decoder looks at the document of
                the encoder with the same id; None: each row is one document (id 0) without padding.
        """
        memory = self.encode(tokens, positions, documents)
        return self.decode(decoder_tokens, memory, decoder_positions, decoder_documents)

    def encode(self, tokens: Tensor, positions: Tensor | None = None, documents: Tensor | None = None) -> Memory:
        """What the decoder looks at: hidden states (B, S, D) of the input and its document ids."""
        positions = row_positions(tokens) if positions is None else positions
        tell_padding(self.encoder_padding_aware, documents)
        hidden_BSD = self.encoder_embedding(tokens, positions, None, self.encoder.positions.embed)
        return Memory(self.encoder(hidden_BSD, positions, documents), documents)

    def decode(
        self,
        tokens: Tensor,
        memory: Memory,
        positions: Tensor | None = None,
        documents: Tensor | None = None,
        cache: StackCache | None = None,
    ) -> Tensor:
        """(B, T) ids of the output so far → (B, T, D) hidden states; arguments as in `forward`."""
        positions = row_positions(tokens, cache) if positions is None else positions
        tell_padding(self.decoder_padding_aware, documents)
        hidden_BTD = self.decoder_embedding(tokens, positions, None, self.decoder.positions.embed)
        return self.decoder(hidden_BTD, positions, documents, memory, cache=cache)
