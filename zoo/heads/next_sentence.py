"""Does the second sentence follow the first? BERT's pair classifier.

Devlin et al. 2018, arXiv:1810.04805: the hidden state of the first token goes through a dense layer with tanh (the
pooler) and a linear layer with two outputs; 0 is "follows", 1 is "random".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from zoo.heads.base import Head, HeadConfig, HeadShape
from zoo.heads.pooling import Pooling
from zoo.nn.linear import Linear, Site


@dataclass(frozen=True, kw_only=True)
class NextSentenceConfig(HeadConfig, kind="next_sentence"):
    """BERT's pooler and pair classifier."""

    families: ClassVar[tuple[str, ...]] = ("encoder",)

    def build(self, shape: HeadShape) -> Head:
        """The head as a module."""
        return NextSentenceHead(shape.dim)


class NextSentenceHead(Head):
    """classifier(tanh(pooler(first hidden state))).

    Args:
        dim: width D.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.first = Pooling("first")
        self.pooler = Linear(dim, dim, site=Site("head_transform"))
        self.classifier = Linear(dim, 2, site=Site("head_output"))

    def forward(self, hidden_BTD: Tensor) -> Tensor:
        """(B, T, D) → (B, 2)."""
        return self.classifier(self.pooler(self.first(hidden_BTD)).tanh())
