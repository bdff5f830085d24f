"""Decoder-only models (GPT): every position sees itself and what came before.

Radford et al. 2018 and 2019. With a `prefix` the positions of the prefix see each other both ways (prefix language
model, Raffel et al. 2020, section 3.2.1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from zoo.errors import DataError
from zoo.models.base import Backbone, ModelConfig, SelfBackbone
from zoo.nn.stack import StackCache


@dataclass(frozen=True, kw_only=True)
class DecoderConfig(ModelConfig, kind="decoder"):
    """A decoder-only model."""

    causal: ClassVar[bool] = True

    def build_backbone(self) -> Backbone:
        """The decoder, its weights unset."""
        return Decoder(self)


class Decoder(SelfBackbone):
    """Token ids to hidden states that see the past only."""

    def forward(
        self,
        tokens: Tensor,
        positions: Tensor | None = None,
        documents: Tensor | None = None,
        segments: Tensor | None = None,
        prefix: Tensor | None = None,
        cache: StackCache | None = None,
    ) -> Tensor:
        """(B, T) ids → (B, T, D) hidden states.

        Args:
            tokens: (B, T) int64 ids in [0, vocab_size).
            positions: (B or 1, T) int64 position of each token in its document; None: 0 … T−1, after what is cached.
            documents: (B, T) int64 document ids, −1 padding; None: each row is one document without padding.
            segments: (B, T) int64 segment ids in [0, num_segments); None: all 0.
            prefix: (B, S) bool over all places of the row, cached ones too: those of a document see each other both
                ways; None: none. With a cache, a prefix must lie in one call: what is cached does not change.
            cache: earlier places of the same rows.

        Raises:
            DataError: a token id that the table has no row for, or a prefix of another shape or dtype.
        """
        _check_prefix(prefix, tokens, cache)
        return self.run(tokens, positions, documents, segments, prefix_BS=prefix, cache=cache)


def _check_prefix(prefix_BS: Tensor | None, tokens_BT: Tensor, cache: StackCache | None) -> None:
    if prefix_BS is None:
        return
    rows, length = tokens_BT.shape
    shape = (rows, length if cache is None else int(cache.length) + length)
    if prefix_BS.dtype is not torch.bool:
        dtype = str(prefix_BS.dtype).removeprefix("torch.")
        raise DataError(f"prefix must be bool, not {dtype}; write prefix.bool()")
    if prefix_BS.shape != shape:
        raise DataError(
            f"prefix must be of shape {shape}, one value for each place of each row, cached places too; "
            f"it is of shape {tuple(prefix_BS.shape)}"
        )
