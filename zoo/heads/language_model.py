"""The output layer over the vocabulary: masked, causal and sequence-to-sequence language models share it.

Tied to the token table: Press & Wolf 2016, arXiv:1608.05859. BERT transforms the hidden state first (dense, activation,
norm) and adds a bias; T5 scales it by 1/√dim where the table is tied; Gemma 2 (arXiv:2408.00118) caps the logits. A
tied table of another width than the model's is reached by the transform (ALBERT, ELECTRA) or by a plain matrix (OPT).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from zoo.config import setting
from zoo.errors import ConfigError
from zoo.heads.base import Head, HeadConfig, HeadShape
from zoo.heads.transform import Transform, transform_layer
from zoo.nn.feed_forward import ACTIVATIONS
from zoo.nn.init import WidthEntry
from zoo.nn.linear import Embedding, Linear, Site
from zoo.nn.loss import Projection
from zoo.registry import unknown_name


@dataclass(frozen=True, kw_only=True)
class LanguageModelConfig(HeadConfig, kind="language_model"):
    """logits = capped(scale · transform(hidden) @ weightᵀ + bias)."""

    families: ClassVar[tuple[str, ...]] = ("encoder", "decoder", "encoder_decoder")

    tied: bool = setting(True, "whether the weight is the token table")
    bias: bool = setting(False, "whether a bias is added to the logits", zero_adds_nothing=True)
    transform: str | None = setting(
        None, "activation of a dense layer and norm before the output (BERT: gelu); null: no such layer"
    )
    transform_bias: bool = setting(
        True, "whether that dense layer has a bias (ModernBERT: not)", zero_adds_nothing=True
    )
    scale: Literal["none", "inverse_sqrt_dim"] | float = setting(
        "none", "factor on what the weight is applied to: none, 1/√dim (T5) or a number", above=0
    )
    cap: float | None = setting(
        None, "soft cap of the logits, cap · tanh(logits / cap) (Gemma 2: 30); null: none", above=0
    )

    def validate(self) -> None:
        """Refuses an unknown activation, and a bias taken from a layer that is not there."""
        if self.transform is not None and self.transform not in ACTIVATIONS:
            raise ConfigError(unknown_name("activation", self.transform, ACTIVATIONS), "transform")
        if self.transform is None and not self.transform_bias:
            raise ConfigError("false takes the bias from a layer that transform=null leaves out", "transform_bias")

    def factor(self, dim: int) -> float:
        """The scale as a number, for hidden states of this width."""
        if isinstance(self.scale, str):
            return dim**-0.5 if self.scale == "inverse_sqrt_dim" else 1.0
        return self.scale

    def width_entries(self) -> Iterable[WidthEntry]:
        """A tied table, and a scale."""
        if self.tied:
            yield WidthEntry(
                "tied", "true", "output layers are drawn and trained otherwise than token tables; set false"
            )
        if self.scale != "none":
            yield WidthEntry("scale", self.scale, "logits would shrink with the width; set none")

    def build(self, shape: HeadShape) -> Head:
        """The head as a module."""
        return LanguageModelHead(self, shape)


class LanguageModelHead(Head):
    """Hidden states to logits over the vocabulary.

    Args:
        config: tied or free, bias, transform, scale, cap.
        shape: what the model hands over.
    """

    def __init__(self, config: LanguageModelConfig, shape: HeadShape) -> None:
        super().__init__()
        self.transform = _before_output(config, shape)
        self.scale = config.factor(shape.dim)
        self.cap = config.cap
        self.vocab_size = shape.vocab_size
        # A tied table belongs to the embedding; the tuple keeps torch from registering it here a second time.
        self._tied: tuple[Embedding, ...] = (shape.tokens,) if config.tied else ()
        rows = shape.tokens.num_embeddings
        spare = rows - shape.vocab_size
        self.output = None if config.tied else Linear(shape.dim, rows, False, site=Site("head_output"), spare=spare)
        self.bias = nn.Parameter(torch.empty(shape.vocab_size)) if config.bias else None

    @property
    def weight(self) -> Tensor:
        """The output matrix (V, D), with spare rows behind."""
        return self._tied[0].weight if self.output is None else self.output.weight

    @property
    def projection(self) -> Projection:
        """From features to logits."""
        return Projection(self.weight, self.bias, self.cap, self.vocab_size)

    def features(self, hidden: Tensor) -> Tensor:
        """What the output matrix is applied to: (…, D) → (…, width of the matrix)."""
        features = self.transform(hidden)
        return features if self.scale == 1.0 else features * self.scale

    def forward(self, hidden_BTD: Tensor) -> Tensor:
        """(…, D) → (…, V)."""
        return self.projection.logits(self.features(hidden_BTD))


def _before_output(config: LanguageModelConfig, shape: HeadShape) -> nn.Module:
    """What brings hidden states to the width of the output matrix."""
    width = shape.tokens.embedding_dim if config.tied else shape.dim
    if config.transform is not None:
        dense = transform_layer(shape.dim, width, config.transform_bias)
        return Transform(dense, config.transform, shape.norm.build(width))
    if config.tied and shape.factorized:
        return Linear(shape.dim, width, False, site=Site("head_transform"))
    return nn.Identity()
