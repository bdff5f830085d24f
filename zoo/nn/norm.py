"""Normalization of a hidden state, and what is put in its place.

| kind       | normalizes                        | source                                                              |
|------------|-----------------------------------|---------------------------------------------------------------------|
| layer_norm | mean and variance over the width  | Ba et al. 2016, arXiv:1607.06450                                    |
| rms_norm   | mean square over the width        | Zhang & Sennrich 2019, arXiv:1910.07467; what T5 calls layer norm   |
| scale_norm | length, with one trained number   | Nguyen & Salazar 2019, arXiv:1910.05895                             |
| l2_norm    | length, with nothing trained      | Henry et al. 2020, arXiv:2010.04245, for queries and keys           |
| batch_norm | mean and variance over the tokens | Ioffe & Szegedy 2015, arXiv:1502.03167                              |
| dyt        | nothing: squashes each number     | Zhu et al. 2025, arXiv:2503.10622 (Dynamic Tanh)                    |
| none       | nothing                           | ablations                                                           |

Deviations: scale_norm trains g / √D where the paper trains g, so that its number starts at 1 as all norm weights do;
`eps` is added under every root, where some of the papers bound the root from below.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from zoo.config import Config, setting
from zoo.errors import ConfigError
from zoo.nn.init import WidthEntry
from zoo.nn.padding import PaddingAware
from zoo.nn.step import Replayable
from zoo.registry import Choice


@dataclass(frozen=True, kw_only=True)
class NormConfig(Config, Choice, noun="norm"):
    """Which normalization the model uses at every place that has one."""

    mixes_rows: ClassVar[str] = ""
    """Why a row's result depends in training on the rows beside it; empty: it does not."""

    def width_entries(self) -> Iterable[WidthEntry]:
        """The settings by which the width scales what it gives; a key "" is the norm itself."""
        return ()

    def build(self, dim: int) -> nn.Module:
        """The norm over the last axis of (…, dim)."""
        raise NotImplementedError


class Affine(nn.Module):
    """normalized · weight + bias; the base of norms that have one of the two, both, or neither.

    Args:
        dim: width D.
        affine: whether there is a weight.
        bias: whether there is a bias.
    """

    def __init__(self, dim: int, affine: bool, bias: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(dim)) if affine else None
        self.bias = nn.Parameter(torch.empty(dim)) if bias else None

    def affine(self, normalized: Tensor) -> Tensor:
        """(…, D) of (…, D)."""
        scaled = normalized if self.weight is None else normalized * self.weight
        return scaled if self.bias is None else scaled + self.bias


# ------------------------------------------------------------------------------------------------------- over the width


@dataclass(frozen=True, kw_only=True)
class LayerNormConfig(NormConfig, kind="layer_norm"):
    """(x − mean) / √(variance + eps) · weight + bias."""

    eps: float = setting(1e-5, "added to the variance (BERT: 1e-12, GPT-2: 1e-5)", above=0)
    affine: bool = setting(True, "whether there is a weight (OLMo 1: neither weight nor bias)")
    bias: bool = setting(True, "whether there is a bias", zero_adds_nothing=True)

    def build(self, dim: int) -> nn.Module:
        """The norm over the last axis of (…, dim)."""
        return LayerNorm(self, dim)


class LayerNorm(nn.LayerNorm):
    """torch's, whose bias does not need a weight here.

    Args:
        config: eps, weight, bias.
        dim: width D.
    """

    def __init__(self, config: LayerNormConfig, dim: int) -> None:
        super().__init__(dim, eps=config.eps, elementwise_affine=config.affine or config.bias, bias=config.bias)
        if not config.affine:
            self.register_parameter("weight", None)
            self.elementwise_affine = False

    def forward(self, hidden: Tensor) -> Tensor:
        """(…, D) of (…, D).

        Heads as a list of tokens, a copy that torch would make anyway: else their gradient has other strides than
        torch.compile (2.13) takes it to have, and its backward fails.
        """
        rows = hidden if hidden.dim() <= 3 else hidden.reshape(-1, hidden.shape[-1])
        normalized = torch.layer_norm(rows, self.normalized_shape, self.weight, self.bias, self.eps)
        return normalized if rows is hidden else normalized.view(hidden.shape)


@dataclass(frozen=True, kw_only=True)
class RMSNormConfig(NormConfig, kind="rms_norm"):
    """x / √(mean of squares + eps) · weight + bias."""

    eps: float = setting(1e-6, "added to the mean square (T5 and Llama: 1e-6)", above=0)
    affine: bool = setting(True, "whether there is a weight")
    bias: bool = setting(False, "whether there is a bias", zero_adds_nothing=True)
    offset: bool = setting(False, "whether the weight counts from 1 and starts at 0 (Gemma)")

    def validate(self) -> None:
        """Refuses an offset of a weight that is not there."""
        if self.offset and not self.affine:
            raise ConfigError("true has no effect with affine=false: there is no weight to count from 1", "offset")

    def build(self, dim: int) -> nn.Module:
        """The norm over the last axis of (…, dim)."""
        return RMSNorm(self, dim)


class RMSNorm(nn.RMSNorm):
    """torch's, with the offset and the bias that it lacks.

    Args:
        config: eps, weight, bias, offset.
        dim: width D.
    """

    def __init__(self, config: RMSNormConfig, dim: int) -> None:
        super().__init__(dim, eps=config.eps, elementwise_affine=config.affine)
        self.bias = nn.Parameter(torch.empty(dim)) if config.bias else None
        self.offset = config.offset
        self.starts = {"weight": 0.0 if config.offset else 1.0}

    def forward(self, hidden: Tensor) -> Tensor:
        """(…, D) of (…, D)."""
        weight_D = 1 + self.weight if self.offset else self.weight
        normalized = functional.rms_norm(hidden, self.normalized_shape, weight_D, self.eps)
        return normalized if self.bias is None else normalized + self.bias


@dataclass(frozen=True, kw_only=True)
class ScaleNormConfig(NormConfig, kind="scale_norm"):
    """√D · x / ‖x‖ · weight, where the weight is one number."""

    eps: float = setting(1e-6, "added to the mean square, which is ‖x‖² / D", above=0)

    def build(self, dim: int) -> nn.Module:
        """The norm over the last axis of (…, dim)."""
        return ScaleNorm(dim, self.eps)


class ScaleNorm(nn.Module):
    """√D · x / ‖x‖ · weight: x over its root mean square, times one number.

    Args:
        dim: width D.
        eps: added to the mean square.
    """

    def __init__(self, dim: int, eps: float) -> None:
        super().__init__()
        self.shape, self.eps = (dim,), eps
        self.weight = nn.Parameter(torch.empty(1))

    def forward(self, hidden: Tensor) -> Tensor:
        """(…, D) of (…, D)."""
        return functional.rms_norm(hidden, self.shape, None, self.eps) * self.weight


@dataclass(frozen=True, kw_only=True)
class L2NormConfig(NormConfig, kind="l2_norm"):
    """x / ‖x‖: queries and keys of length 1, whose scores are cosines (set the scale of the attention to suit)."""

    eps: float = setting(1e-5, "added to ‖x‖²", above=0)

    def width_entries(self) -> Iterable[WidthEntry]:
        """Itself: each number of a length of 1 is about 1/√D."""
        yield WidthEntry("", self.kind, "what it gives shrinks with the width; set scale_norm or another norm")

    def build(self, dim: int) -> nn.Module:
        """The norm over the last axis of (…, dim)."""
        return L2Norm(dim, self.eps)


class L2Norm(nn.Module):
    """x / √(‖x‖² + eps).

    Args:
        dim: width D.
        eps: added to the squared length.
    """

    def __init__(self, dim: int, eps: float) -> None:
        super().__init__()
        self.shape, self.eps, self.factor = (dim,), eps / dim, dim**-0.5

    def forward(self, hidden: Tensor) -> Tensor:
        """(…, D) of (…, D)."""
        return functional.rms_norm(hidden, self.shape, None, self.eps) * self.factor


# ------------------------------------------------------------------------------------------------------ over the tokens


@dataclass(frozen=True, kw_only=True)
class BatchNormConfig(NormConfig, kind="batch_norm"):
    """(x − mean) / √(variance + eps) · weight + bias, each number of the width over all tokens that are no padding.

    In training a token's result depends on all tokens of the microbatch: on other rows, on other documents and, in a
    causal stack, on its own future, which a language model can exploit. In evaluation the running statistics take the
    place of the batch's, and each token is by itself again. Packing changes nothing: the statistics are over the same
    tokens, wherever in the rows they stand.
    """

    mixes_rows: ClassVar[str] = "normalizes by the mean and variance of all tokens of a microbatch"

    eps: float = setting(1e-5, "added to the variance", above=0)
    affine: bool = setting(True, "whether there is a weight")
    bias: bool = setting(True, "whether there is a bias", zero_adds_nothing=True)
    momentum: float = setting(0.1, "share of a batch in the running statistics", above=0, maximum=1)

    def build(self, dim: int) -> nn.Module:
        """The norm of each number of (…, dim) over all others."""
        return BatchNorm(self, dim)


class BatchNorm(Affine, PaddingAware, Replayable):
    """Normalizes by the statistics of the tokens, padding left out; in evaluation by the running ones.

    Args:
        config: eps, weight, bias, momentum.
        dim: width D.
    """

    running_mean: Tensor
    running_variance: Tensor

    def __init__(self, config: BatchNormConfig, dim: int) -> None:
        super().__init__(dim, config.affine, config.bias)
        self.eps, self.momentum = config.eps, config.momentum
        self.register_buffer("running_mean", torch.zeros(dim))
        self.register_buffer("running_variance", torch.ones(dim))

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, T, D) of (B, T, D), or (N, D) of (N, D) that hold no padding."""
        fine = hidden.to(torch.promote_types(hidden.dtype, torch.float32))
        mean_D, variance_D = self._of_batch(fine) if self.training else (self.running_mean, self.running_variance)
        normalized = (fine - mean_D) * (variance_D + self.eps).rsqrt()
        return self.affine(normalized.to(hidden.dtype))

    def _of_batch(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance (D,) of the tokens that are no padding; the running ones move towards them."""
        real_ND = self.real(hidden)
        count = max(len(real_ND), 1)  # a microbatch may be padding altogether
        mean_D = real_ND.sum(dim=0) / count
        variance_D = (real_ND - mean_D).square().sum(dim=0) / count
        if self.replaying:
            return mean_D, variance_D
        with torch.no_grad():
            share = self.momentum if len(real_ND) else 0.0
            unbiased_D = variance_D * (count / max(count - 1, 1))
            self.running_mean.lerp_(mean_D.to(self.running_mean.dtype), share)
            self.running_variance.lerp_(unbiased_D.to(self.running_variance.dtype), share)
        return mean_D, variance_D


# ------------------------------------------------------------------------------------------------------- in its place


@dataclass(frozen=True, kw_only=True)
class DynamicTanhConfig(NormConfig, kind="dyt"):
    """tanh(alpha · x) · weight + bias, each number by itself."""

    alpha: float = setting(0.5, "where the trained factor inside the tanh starts", above=0)
    affine: bool = setting(True, "whether there is a weight")
    bias: bool = setting(True, "whether there is a bias", zero_adds_nothing=True)

    def build(self, dim: int) -> nn.Module:
        """The squashing of (…, dim)."""
        return DynamicTanh(self, dim)


class DynamicTanh(Affine):
    """tanh(alpha · x) · weight + bias, alpha one trained number.

    Args:
        config: start of alpha, weight, bias.
        dim: width D.
    """

    def __init__(self, config: DynamicTanhConfig, dim: int) -> None:
        super().__init__(dim, config.affine, config.bias)
        self.alpha = nn.Parameter(torch.empty(1))
        self.starts = {"alpha": config.alpha}

    def forward(self, hidden: Tensor) -> Tensor:
        """(…, D) of (…, D)."""
        return self.affine((self.alpha * hidden).tanh())


@dataclass(frozen=True, kw_only=True)
class NoNormConfig(NormConfig, kind="none"):
    """x as it is, wherever the placement has a norm."""

    def build(self, dim: int) -> nn.Module:
        """The identity."""
        return nn.Identity()
