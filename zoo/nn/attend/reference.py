"""The formula of attention, step by step: what every other kernel is held equal to.

Scaled dot-product attention: Vaswani et al. 2017, arXiv:1706.03762, equation 1. Soft cap: Gemma 2, arXiv:2408.00118.
Additive scores: Bahdanau et al. 2014, arXiv:1409.0473. Sinks: gpt-oss, arXiv:2508.10925.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from zoo.nn.attend.base import KERNELS, Kernel, Prepared, Request, Scoring, for_each_query_head


class ReferenceKernel(Kernel):
    """The formula, step by step."""

    name = "reference"
    features = frozenset({"bias", "prefix", "wide_heads", "cap", "dropout", "sinks", "additive"})

    def prepare(self, request: Request) -> Prepared:
        """Keeps the boolean mask and the bias apart."""
        return Prepared(request.visible(), request.bias)

    def attend(self, q_BHTK: Tensor, k_BGSK: Tensor, v_BGSK: Tensor, prepared: Prepared, scoring: Scoring) -> Tensor:
        """Score: scale, soft cap, bias, mask; then softmax, dropout, sum."""
        k_BHSK, v_BHSK = for_each_query_head(q_BHTK, k_BGSK), for_each_query_head(q_BHTK, v_BGSK)
        scores_BHTS = _similarity(q_BHTK, k_BHSK, scoring) * scoring.scale
        if scoring.cap is not None:
            scores_BHTS = scoring.cap * torch.tanh(scores_BHTS / scoring.cap)
        if prepared.bias is not None:
            scores_BHTS = scores_BHTS + prepared.bias
        if prepared.mask is not None:
            scores_BHTS = scores_BHTS.masked_fill(~prepared.mask, -math.inf)
        weights_BHTS = _softmax(scores_BHTS, scoring.sinks)
        if prepared.mask is not None:  # a softmax over nothing is NaN: such a query gets zeros
            weights_BHTS = weights_BHTS.masked_fill(~prepared.mask, 0.0)
        weights_BHTS = functional.dropout(weights_BHTS, scoring.dropout, training=scoring.dropout > 0)
        return weights_BHTS.to(v_BHSK.dtype) @ v_BHSK


def _similarity(q_BHTK: Tensor, k_BHSK: Tensor, scoring: Scoring) -> Tensor:
    """(B, H, T, S): q kᵀ, or vᵀ tanh(q + k)."""
    if scoring.additive is None:
        return q_BHTK @ k_BHSK.transpose(-2, -1)
    sums_BHTSK = q_BHTK[:, :, :, None] + k_BHSK[:, :, None]
    return torch.einsum("bhtsk,hk->bhts", torch.tanh(sums_BHTSK), scoring.additive.to(sums_BHTSK.dtype))


def _softmax(scores_BHTS: Tensor, sinks_H: Tensor | None) -> Tensor:
    """exp(scores) over their sum; with sinks exp(sink) is added to the sum."""
    if sinks_H is None:
        return torch.softmax(scores_BHTS, dim=-1)
    sinks_BHT1 = sinks_H.to(scores_BHTS.dtype)[:, None, None].expand(*scores_BHTS.shape[:3], 1)
    return torch.softmax(torch.cat((scores_BHTS, sinks_BHT1), dim=-1), dim=-1)[..., :-1]


KERNELS.add(ReferenceKernel.name, ReferenceKernel())
