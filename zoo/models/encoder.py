"""Encoder-only models (BERT): every position sees the whole document.

Devlin et al. 2018, arXiv:1810.04805.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from zoo.models.base import Backbone, ModelConfig, SelfBackbone


@dataclass(frozen=True, kw_only=True)
class EncoderConfig(ModelConfig, kind="encoder"):
    """An encoder-only model."""

    causal: ClassVar[bool] = False

    def build_backbone(self) -> Backbone:
        """The encoder, its weights unset."""
        return Encoder(self)


class Encoder(SelfBackbone):
    """Token ids to hidden states that see both ways."""

    def forward(
        self,
        tokens: Tensor,
        positions: Tensor | None = None,
        documents: Tensor | None = None,
        segments: Tensor | None = None,
    ) -> Tensor:
        """(B, T) ids → (B, T, D) hidden states.

        Args:
            tokens: (B, T) int64 ids in [0, vocab_size).
            positions: (B or 1, T) int64 position of each token in its document; None: 0 … T−1.
            documents: (B, T) int64 document ids, −1 padding; None: each row is one document without padding.
            segments: (B, T) int64 segment ids in [0, num_segments); None: all 0.
        """
        return self.run(tokens, positions, documents, segments)
