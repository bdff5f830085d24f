"""Norms of queries and keys, between projection and rotation, which bound the scores.

Henry et al. 2020, arXiv:2010.04245 (`l2_norm`, and `scale: learned`); Dehghani et al. 2023 (ViT-22B), arXiv:2302.05442
(`layer_norm`). Over each head: Qwen 3, arXiv:2505.09388, Gemma 3, arXiv:2503.19786. Over the whole projected width:
OLMo 2, arXiv:2501.00656.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from zoo.config import Config, setting
from zoo.errors import ConfigError
from zoo.nn.init import WidthEntry
from zoo.nn.norm import NormConfig, RMSNormConfig


@dataclass(frozen=True, kw_only=True)
class QueryKeyNormConfig(Config):
    """How queries and keys are normalized, each by a norm of its own."""

    norm: NormConfig = setting(RMSNormConfig(), "the norm")
    over: Literal["head", "width"] = setting(
        "head", "what it is taken over: each head, with the same weights, or all heads together"
    )

    def validate(self) -> None:
        """Refuses a norm that is none, and one that mixes rows."""
        if self.norm.kind == "none":
            raise ConfigError("'none' normalizes nothing, so query_key_norm has no effect; set it to null", "norm")
        if self.norm.mixes_rows:
            raise ConfigError(
                f"{self.norm.kind!r} {self.norm.mixes_rows}; queries and keys stand at different places, of which it "
                "would have to know the padding: use another norm for query_key_norm",
                "norm",
            )

    def width_entries(self) -> Iterator[WidthEntry]:
        """Those of the norm."""
        return (entry.under("norm") for entry in self.norm.width_entries())

    def build(self, num_heads: int, head_dim: int) -> nn.Module:
        """The norm of so many heads of that width, as a module on (B, H, T, K)."""
        return self.norm.build(head_dim) if self.over == "head" else WidthNorm(self.norm.build(num_heads * head_dim))


class WidthNorm(nn.Module):
    """A norm over all heads together.

    Args:
        norm: over the last axis of (B, T, heads · K).
    """

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, heads_BHTK: Tensor) -> Tensor:
        """(B, H, T, K) → (B, H, T, K)."""
        heads_BTHK = heads_BHTK.transpose(1, 2)
        normed_BTX: Tensor = self.norm(heads_BTHK.flatten(2))
        return normed_BTX.unflatten(-1, heads_BTHK.shape[2:]).transpose(1, 2)
