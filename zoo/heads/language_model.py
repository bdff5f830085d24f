"""The output layer over the vocabulary: masked, causal and sequence-to-sequence language models share it.

Tied to the token table: Press & Wolf 2016, arXiv:1608.05859. BERT transforms the hidden state first (dense, activation,
norm) and adds a bias; T5 scales it by 1/√dim where the table is tied.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from zoo.config import setting
from zoo.errors import ConfigError
from zoo.heads.base import Head, HeadConfig, HeadShape
from zoo.nn.feed_forward import ACTIVATIONS
from zoo.nn.init import WidthEntry
from zoo.nn.linear import Embedding, Linear, Site
from zoo.registry import unknown_name


@dataclass(frozen=True, kw_only=True)
class LanguageModelConfig(HeadConfig, kind="language_model"):
    """logits = scale · transform(hidden) @ weightᵀ + bias."""

    families: ClassVar[tuple[str, ...]] = ("encoder", "decoder", "encoder_decoder")

    tied: bool = setting(True, "whether the weight is the token table")
    bias: bool = setting(False, "whether a bias is added to the logits")
    transform: str | None = setting(
        None, "activation of a dense layer and norm before the output (BERT: gelu); null: no such layer"
    )
    scale: Literal["none", "inverse_sqrt_dim"] = setting("none", "factor on the hidden state: none, or 1/√dim (T5)")

    def validate(self) -> None:
        """Refuses an unknown activation."""
        if self.transform is not None and self.transform not in ACTIVATIONS:
            raise ConfigError(unknown_name("activation", self.transform, ACTIVATIONS), "transform")

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


class Transform(nn.Module):
    """norm(activation(dense(x))), as BERT has it before its output layer.

    Args:
        activation: name of the activation.
        shape: width and norm of the model.
    """

    def __init__(self, activation: str, shape: HeadShape) -> None:
        super().__init__()
        self.dense = Linear(shape.dim, shape.dim, site=Site("head_transform"))
        self.activation = ACTIVATIONS[activation]
        self.norm = shape.norm.build(shape.dim)

    def forward(self, hidden: Tensor) -> Tensor:
        """(…, D) → (…, D)."""
        return self.norm(self.activation(self.dense(hidden)))


class LanguageModelHead(Head):
    """Hidden states to logits over the vocabulary.

    Args:
        config: tied or free, bias, transform, scale.
        shape: what the model hands over.
    """

    def __init__(self, config: LanguageModelConfig, shape: HeadShape) -> None:
        super().__init__()
        self.transform = Transform(config.transform, shape) if config.transform else nn.Identity()
        self.scale = shape.dim**-0.5 if config.scale == "inverse_sqrt_dim" else 1.0
        # A tied table belongs to the embedding; the tuple keeps torch from registering it here a second time.
        self._tied: tuple[Embedding, ...] = (shape.tokens,) if config.tied else ()
        self.output = None if config.tied else Linear(shape.dim, shape.vocab_size, False, site=Site("head_output"))
        self.bias = nn.Parameter(torch.empty(shape.vocab_size)) if config.bias else None

    @property
    def weight(self) -> Tensor:
        """The output matrix (V, D)."""
        return self._tied[0].weight if self.output is None else self.output.weight

    def features(self, hidden: Tensor) -> Tensor:
        """What the output matrix is applied to: (…, D) → (…, D)."""
        features = self.transform(hidden)
        return features if self.scale == 1.0 else features * self.scale

    def forward(self, hidden_BTD: Tensor) -> Tensor:
        """(…, D) → (…, V)."""
        return functional.linear(self.features(hidden_BTD), self.weight, self.bias)
