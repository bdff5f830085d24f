"""Which class is a token of? Tagging and named entities: Devlin et al. 2018, arXiv:1810.04805, section 5.3."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from zoo.heads.base import Head, HeadShape
from zoo.heads.classifier import Classifier, LabelledConfig


@dataclass(frozen=True, kw_only=True)
class TokenClassificationConfig(LabelledConfig, kind="token_classification"):
    """A label for each token: (B, T, D) → (B, T, labels)."""

    families: ClassVar[tuple[str, ...]] = ("encoder", "decoder", "encoder_decoder")

    def build(self, shape: HeadShape) -> Head:
        """The head as a module."""
        return Classifier(self, shape, self.num_labels)
