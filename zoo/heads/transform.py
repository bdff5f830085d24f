"""A dense layer with an activation between hidden states and an output layer, with a norm behind it or without.

BERT has it with a norm before its vocabulary (Devlin et al. 2018, arXiv:1810.04805) and without one before its
classifiers, where it is called the pooler; RoBERTa's and DistilBERT's classifiers have one of their own.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from zoo.config import Config, setting
from zoo.errors import ConfigError
from zoo.heads.base import HeadShape
from zoo.nn.feed_forward import ACTIVATIONS
from zoo.nn.linear import Linear, Site
from zoo.registry import unknown_name


@dataclass(frozen=True, kw_only=True)
class TransformConfig(Config):
    """norm(activation(dense(dropout(x)))), as wide as the model."""

    activation: str = setting("tanh", "activation (BERT's pooler and RoBERTa: tanh; DistilBERT: relu)")
    bias: bool = setting(True, "whether the dense layer has a bias (ModernBERT: not)", zero_adds_nothing=True)
    norm: bool = setting(False, "whether a norm of the model's kind follows (ModernBERT)")
    dropout: float = setting(
        0.0, "probability of dropping an element of what the layer reads", minimum=0, below=1, training_only=True
    )

    def validate(self) -> None:
        """Refuses an unknown activation."""
        if self.activation not in ACTIVATIONS:
            raise ConfigError(unknown_name("activation", self.activation, ACTIVATIONS), "activation")


class Transform(nn.Module):
    """norm(activation(dense(dropout(x)))).

    Args:
        dense: the layer.
        activation: a name of ACTIVATIONS.
        norm: what follows; an identity where there is no norm.
        dropout: probability of dropping an element of what the layer reads.
    """

    def __init__(self, dense: Linear, activation: str, norm: nn.Module, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()
        self.dense = dense
        self.activation = ACTIVATIONS[activation]
        self.norm = norm

    def forward(self, hidden: Tensor) -> Tensor:
        """(…, D) → (…, width of the layer)."""
        return self.norm(self.activation(self.dense(self.dropout(hidden))))


def build_transform(config: TransformConfig, shape: HeadShape) -> Transform:
    """The transform of a head, as wide as the model."""
    dense = transform_layer(shape.dim, shape.dim, config.bias)
    norm = shape.norm.build(shape.dim) if config.norm else nn.Identity()
    return Transform(dense, config.activation, norm, config.dropout)


def transform_layer(dim: int, width: int, bias: bool) -> Linear:
    """The dense layer of a transform, from a model of width `dim`."""
    return Linear(dim, width, bias, site=Site("head_transform"))
