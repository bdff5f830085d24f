"""Which class is a text of? One hidden state of a row, and a classifier on it.

BERT (Devlin et al. 2018, arXiv:1810.04805, section 4.1) reads the first token through its pooler, a dense layer with
tanh; a decoder's classifier reads the last token and has no transform (Radford et al. 2018, section 3.2).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from zoo.config import setting
from zoo.errors import ConfigError
from zoo.heads.base import Head, HeadShape
from zoo.heads.classifier import Classifier, LabelledConfig
from zoo.heads.pooling import Pooling, PoolingName


@dataclass(frozen=True, kw_only=True)
class SequenceClassificationConfig(LabelledConfig, kind="sequence_classification"):
    """A label for each row, which is one document."""

    families: ClassVar[tuple[str, ...]] = ("encoder", "decoder", "encoder_decoder")

    pooling: PoolingName = setting(
        "mean", "what of a row is read: its first token (BERT), its last (decoders), or the mean; padding never is"
    )

    def check_family(self, family: str, causal: bool) -> None:
        """Refuses to read a first token that has seen nothing else."""
        if causal and self.pooling == "first":
            raise ConfigError(
                f"'first' reads a token that sees only itself in model {family!r}; set last or mean", "pooling"
            )

    def build(self, shape: HeadShape) -> Head:
        """The head as a module."""
        return SequenceClassificationHead(self, shape)


class SequenceClassificationHead(Classifier):
    """Hidden states of rows to logits of the rows.

    Args:
        config: labels, pooling, transform, dropout, bias.
        shape: what the model hands over.
    """

    def __init__(self, config: SequenceClassificationConfig, shape: HeadShape) -> None:
        super().__init__(config, shape, config.num_labels)
        self.pooling = Pooling(config.pooling)

    def forward(self, hidden_BTD: Tensor) -> Tensor:
        """(B, T, D) → (B, labels)."""
        return super().forward(self.pooling(hidden_BTD))
