"""Encoder-decoder models (the original Transformer, T5): a causal decoder that also looks at an encoded input.

Vaswani et al. 2017, arXiv:1706.03762; Raffel et al. 2020, arXiv:1910.10683. Encoder and decoder share the token table
unless they are told not to, and may differ in anything that a stack can be: a deep encoder with a shallow decoder
(Kasai et al. 2020, arXiv:2006.10369), other widths, other positions.

    decoder: {num_layers: 2, dim: 64, positions: rotary}
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, ClassVar

from torch import Tensor

from zoo.config import build, merged, setting, to_mapping
from zoo.errors import ConfigError
from zoo.models.base import Backbone, ModelConfig, Side, row_positions
from zoo.nn.embedding import TokenEmbedding
from zoo.nn.linear import Depth, Embedding
from zoo.nn.padding import padding_aware, tell_padding
from zoo.nn.stack import Memory, Stack, StackCache, StackConfig
from zoo.registry import unknown_name


@dataclass(frozen=True, kw_only=True)
class EncoderDecoderConfig(ModelConfig, kind="encoder_decoder"):
    """An encoder-decoder model; the stack's settings hold for both sides where `decoder` does not change them."""

    causal: ClassVar[bool] = True

    decoder: dict[str, Any] = setting(
        {}, "what differs in the decoder: any settings of a stack, as {num_layers: 2, dim: 64}; null takes one back"
    )
    share_tokens: bool = setting(True, "whether both sides look tokens up in the same table")

    def validate(self) -> None:
        """Refuses segments, which neither side takes, and one matrix or token table for sides of two widths."""
        super().validate()
        decoder = self.decoder_config()
        for number, layer in enumerate(decoder.layer_configs()):
            try:
                layer.attention.check_memory(decoder.dim, self.dim)
            except ConfigError as error:
                changed = "layers" in self.decoder and layer.attention != decoder.attention
                place = f"decoder.layers.{number}.attention" if changed else "decoder.attention"
                raise error.under(place) from None
        width = decoder.dim
        if self.share_tokens and self.embedding.table_dim(width) != self.embedding.table_dim(self.dim):
            raise ConfigError(
                f"{width} is not the encoder's dim={self.dim}, so they cannot share a token table; set "
                "share_tokens=false, or embedding.factorization.dim to a width for both",
                "decoder.dim",
            )
        if self.embedding.num_segments:
            raise ConfigError(
                f"model 'encoder_decoder' takes no segments: must be 0, not {self.embedding.num_segments}",
                "embedding.num_segments",
            )

    def sides(self) -> tuple[Side, ...]:
        """The encoder sees both ways, the decoder the past only."""
        return Side("", self, False), Side("decoder", self.decoder_config(), True)

    def decoder_config(self) -> StackConfig:
        """The settings of the decoder's stack; raises ConfigError where a change does not fit or changes nothing."""
        names = [field.name for field in fields(StackConfig)]
        for name in self.decoder:
            if name not in names:
                told = "belongs to the whole model" if name in to_mapping(self) else unknown_name("key", name, names)
                raise ConfigError(told, f"decoder.{name}")
        settings = to_mapping(self)
        same = {name: settings[name] for name in names}
        try:
            stack = build(StackConfig, merged(same, self.decoder))
        except ConfigError as error:
            raise error.under("decoder") from None
        assert isinstance(stack, StackConfig)
        if self.decoder and to_mapping(stack) == same:
            raise ConfigError(
                f"changes nothing: {self.decoder!r} holds for the encoder already; leave it out", "decoder"
            )
        return stack

    def build_backbone(self) -> Backbone:
        """Encoder and decoder, their weights unset."""
        return EncoderDecoder(self)


class EncoderDecoder(Backbone):
    """Token ids of an input and of an output so far to hidden states of the output.

    Args:
        config: the model's config.
    """

    output_side: ClassVar[str] = "decoder_"
    writes_apart: ClassVar[bool] = True

    def __init__(self, config: EncoderDecoderConfig) -> None:
        super().__init__()
        decoder = config.decoder_config()
        depth = Depth(config.num_layers, decoder.num_layers)
        table = config.token_table(config.dim)
        self.encoder_embedding = _embedding(config, config, table)
        self.encoder = Stack(config, causal=False, depth=depth, embedding_dim=config.embedding.sum_dim(config.dim))
        table = table if config.share_tokens else config.token_table(decoder.dim)
        self.decoder_embedding = _embedding(config, decoder, table)
        self.encoder_padding_aware = padding_aware(self.encoder_embedding)
        self.decoder_padding_aware = padding_aware(self.decoder_embedding)
        self.decoder = Stack(
            decoder,
            causal=True,
            memory_dim=config.dim,
            depth=depth._replace(in_decoder=True),
            embedding_dim=config.embedding.sum_dim(decoder.dim),
        )

    @property
    def tokens(self) -> Embedding:
        """The token table of the decoder."""
        return self.decoder_embedding.tokens

    def forward(
        self,
        tokens: Tensor,
        decoder_tokens: Tensor,
        positions: Tensor | None = None,
        documents: Tensor | None = None,
        decoder_positions: Tensor | None = None,
        decoder_documents: Tensor | None = None,
    ) -> Tensor:
        """(B, S) and (B, T) ids → (B, T, D) hidden states of the decoder, D its width.

        Args:
            tokens, decoder_tokens: (B, S) and (B, T) int64 ids in [0, vocab_size).
            positions, decoder_positions: position of each token in its document; None: 0 … length−1.
            documents, decoder_documents: document ids, −1 padding: a document of the decoder looks at the document of
                the encoder with the same id; None: each row is one document (id 0) without padding.
        """
        memory = self.encode(tokens, positions, documents)
        return self.decode(decoder_tokens, memory, decoder_positions, decoder_documents)

    @property
    def reading_stack(self) -> Stack:
        """The encoder's."""
        return self.encoder

    @property
    def writing_stack(self) -> Stack:
        """The decoder's."""
        return self.decoder

    def read(self, tokens: Tensor, positions: Tensor | None, documents: Tensor | None) -> Tensor:
        """(B, S) ids → (B, S, D), the encoder's."""
        return self.encode(tokens, positions, documents).hidden_BSD

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


def _embedding(config: EncoderDecoderConfig, side: StackConfig, table: Embedding) -> TokenEmbedding:
    return TokenEmbedding(config.embedding, table, side.norm, side.dropout.embedding, side.dim)
