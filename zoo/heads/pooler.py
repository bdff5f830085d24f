"""One vector for a row: BERT's pooler without a classifier on it, as base models of its kind have it.

Devlin et al. 2018, arXiv:1810.04805: the hidden state of the first token through a dense layer with tanh. Sentence
encoders that were trained to use it read it; others average hidden states and leave it alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from zoo.config import setting
from zoo.heads.base import Head, HeadConfig, HeadShape
from zoo.heads.pooling import Pooling, PoolingName
from zoo.heads.transform import TransformConfig, build_transform


@dataclass(frozen=True, kw_only=True)
class PoolerConfig(HeadConfig, kind="pooler"):
    """transform(pooling(hidden)): (B, T, D) → (B, D)."""

    families: ClassVar[tuple[str, ...]] = ("encoder",)

    pooling: PoolingName = setting("first", "what of a row is read: its first token (BERT), its last, or the mean")
    transform: TransformConfig = setting(TransformConfig(), "the dense layer")

    def build(self, shape: HeadShape) -> Head:
        """The head as a module."""
        return PoolerHead(self, shape)


class PoolerHead(Head):
    """Hidden states of rows to one vector for each.

    Args:
        config: pooling and dense layer.
        shape: what the model hands over.
    """

    def __init__(self, config: PoolerConfig, shape: HeadShape) -> None:
        super().__init__()
        self.pooling = Pooling(config.pooling)
        self.transform = build_transform(config.transform, shape)

    def forward(self, hidden_BTD: Tensor) -> Tensor:
        """(B, T, D) → (B, D)."""
        return self.transform(self.pooling(hidden_BTD))
