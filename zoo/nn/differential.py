"""Differential attention: each pair of heads looks twice and keeps the difference.

    (softmax(Q₁ K₁ᵀ) − λ softmax(Q₂ K₂ᵀ)) V,  λ = exp(λ_q1 · λ_k1) − exp(λ_q2 · λ_k2) + λ_init

then a norm over each pair, and a factor 1 − λ_init: Ye et al. 2024, arXiv:2410.05258, section 2.1. A head of the
projections is one side of a pair: `num_heads` heads make num_heads / 2 pairs, whose values are twice as wide. Pairs are
neighbours among the key heads, and among the query heads where each has a key head of its own.

Deviations. With grouped heads the two sides of a pair read the two key heads of their pair, as the formula has it; in
the paper's code both sides of a pair then read the same key head wherever an even number of queries shares one. Dropout
drops weights of the two softmaxes independently; the paper has none.

The vectors λ are drawn, whatever the initialization: channels that started alike would have the same gradient for ever.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from zoo.config import Config, setting
from zoo.errors import ConfigError
from zoo.nn.attend import Kernel, Prepared, Scoring
from zoo.nn.init import Normal, WidthEntry
from zoo.nn.norm import NormConfig, RMSNormConfig
from zoo.nn.projection import AttentionShape, Heads


@dataclass(frozen=True, kw_only=True)
class DifferentialConfig(Config):
    """What the difference of two heads is made with."""

    norm: NormConfig = setting(RMSNormConfig(eps=1e-5), "norm over what each pair found, the same weights for all")
    lambda_init: float | None = setting(
        None, "about where λ starts; null: 0.8 − 0.6 · exp(−0.3 · layer), layers numbered from 0", minimum=0, below=1
    )

    def validate(self) -> None:
        """Refuses a norm that mixes rows."""
        if self.norm.mixes_rows:
            raise ConfigError(
                f"{self.norm.kind!r} {self.norm.mixes_rows}; what pairs of heads found is of many places, of which it "
                "would have to know the padding: use another norm for differential attention",
                "norm",
            )

    def check(self, heads: Heads) -> None:
        """Refuses key heads that make no pairs."""
        if heads.num_kv_heads % 2:
            raise ConfigError(
                f"differential attention subtracts pairs of heads; num_kv_heads={heads.num_kv_heads} must be even"
            )

    def width_entries(self) -> Iterable[WidthEntry]:
        """Itself: λ is made of sums over head_dim, all of whose terms an optimizer like Adam moves alike."""
        yield WidthEntry("", "{}", "what training changes about its λ grows with head_dim; set null")

    def build(self, shape: AttentionShape, found_width: int) -> DifferentialHeads:
        """The heads in pairs, each pair of so many channels."""
        start = 0.8 - 0.6 * math.exp(-0.3 * shape.layer) if self.lambda_init is None else self.lambda_init
        return DifferentialHeads(self.norm.build(found_width), start, shape.heads.head_dim)


class PlainHeads(nn.Module):
    """Each head by itself: what the kernel computes."""

    widening = 1

    def forward(
        self, kernel: Kernel, q_BHTK: Tensor, k_BGSK: Tensor, v_BGSV: Tensor, prepared: Prepared, scoring: Scoring
    ) -> Tensor:
        """(B, H, T, V)."""
        return kernel.attend(q_BHTK, k_BGSK, v_BGSV, prepared, scoring)


class DifferentialHeads(nn.Module):
    """Two heads at a time: norm(one − λ · other) · (1 − λ_init).

    Args:
        norm: over 2 · V channels, what a pair found.
        lambda_init: about where λ starts; the vectors move it by their draw.
        head_dim: width of the vectors that λ is made of.
    """

    widening = 2
    """How much wider, and fewer, the heads are that come out."""
    starts: Mapping[str, Normal] = dict.fromkeys(("query_1", "key_1", "query_2", "key_2"), Normal(std=0.1))

    def __init__(self, norm: nn.Module, lambda_init: float, head_dim: int) -> None:
        super().__init__()
        self.norm = norm
        self.lambda_init = lambda_init
        self.query_1, self.key_1, self.query_2, self.key_2 = (nn.Parameter(torch.empty(head_dim)) for _ in range(4))

    def forward(
        self, kernel: Kernel, q_BHTK: Tensor, k_BGSK: Tensor, v_BGSV: Tensor, prepared: Prepared, scoring: Scoring
    ) -> Tensor:
        """(B, H / 2, T, 2 · V); both key heads of a pair read the same values, those of both side by side."""
        pairs_BPSW = v_BGSV.unflatten(1, (-1, 2)).transpose(2, 3).flatten(3)
        found_BHTW = kernel.attend(q_BHTK, k_BGSK, pairs_BPSW.repeat_interleave(2, dim=1), prepared, scoring)
        one, other = found_BHTW.unflatten(1, (pairs_BPSW.shape[1], 2, -1)).unbind(2)
        out_BHTW: Tensor = self.norm((one - self.factor() * other).flatten(1, 2))
        return out_BHTW * (1 - self.lambda_init)

    def factor(self) -> Tensor:
        """λ, a number; a sum of products, as autocast would round a matrix product to half precision."""
        one, other = (self.query_1 * self.key_1).sum(), (self.query_2 * self.key_2).sum()
        return torch.exp(one) - torch.exp(other) + self.lambda_init
