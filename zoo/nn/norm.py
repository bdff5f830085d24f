"""Normalization over the width of a hidden state.

LayerNorm: Ba et al. 2016, arXiv:1607.06450. RMSNorm: Zhang & Sennrich 2019, arXiv:1910.07467; it is also what T5 calls
layer norm (no mean, no bias).
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from zoo.config import Config, setting
from zoo.registry import Choice


@dataclass(frozen=True, kw_only=True)
class NormConfig(Config, Choice, noun="norm"):
    """Which normalization the model uses at every place that has one."""

    def build(self, dim: int) -> nn.Module:
        """The norm over the last axis of (…, dim)."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class LayerNormConfig(NormConfig, kind="layer_norm"):
    """(x − mean) / √(variance + eps) · weight + bias."""

    eps: float = setting(1e-5, "added to the variance (BERT: 1e-12, GPT-2: 1e-5)", above=0)
    bias: bool = setting(True, "whether a bias is added after the weight")

    def build(self, dim: int) -> nn.Module:
        """The norm over the last axis of (…, dim)."""
        return nn.LayerNorm(dim, eps=self.eps, bias=self.bias)


@dataclass(frozen=True, kw_only=True)
class RMSNormConfig(NormConfig, kind="rms_norm"):
    """x / √(mean of squares + eps) · weight."""

    eps: float = setting(1e-6, "added to the mean square (T5 and Llama: 1e-6)", above=0)

    def build(self, dim: int) -> nn.Module:
        """The norm over the last axis of (…, dim)."""
        return nn.RMSNorm(dim, eps=self.eps)
