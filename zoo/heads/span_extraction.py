"""Where in a text does the answer begin, and where does it end? Devlin et al. 2018, arXiv:1810.04805, section 4.2."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from zoo.heads.base import Head, HeadShape
from zoo.heads.classifier import Classifier, ClassifierConfig


@dataclass(frozen=True, kw_only=True)
class SpanExtractionConfig(ClassifierConfig, kind="span_extraction"):
    """Two logits for each token, that the span begins there and that it ends there: (B, T, D) → (B, T, 2)."""

    families: ClassVar[tuple[str, ...]] = ("encoder", "decoder", "encoder_decoder")

    def build(self, shape: HeadShape) -> Head:
        """The head as a module."""
        return Classifier(self, shape, 2)
