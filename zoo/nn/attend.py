"""The kernels: softmax(scale · q kᵀ, capped, + bias, masked) v, in several implementations behind one signature.

A kernel prepares mask and bias once a forward, in the form that is cheapest for it; every layer then reuses what it
prepared. `reference` spells the formula out and is what every other kernel is held equal to. `sdpa` is torch's
`scaled_dot_product_attention`. A query that may see nothing yields zeros in every kernel.

Scaled dot-product attention: Vaswani et al. 2017, arXiv:1706.03762, equation 1. Soft cap: Gemma 2, arXiv:2408.00118.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from zoo.nn.mask import AttentionMask
from zoo.registry import Registry


class Prepared(NamedTuple):
    """What a kernel made of mask and bias for one forward.

    Attributes:
        mask: bool (B or 1, 1, T, S), or additive in the dtype of the bias (B or 1, H, T, S), or None.
        bias: (B or 1, H, T, S) where the kernel wants it apart from the mask, or None.
        causal: whether the kernel itself lets each query see only earlier keys.
    """

    mask: Tensor | None
    bias: Tensor | None = None
    causal: bool = False


class Scoring(NamedTuple):
    """The numbers of one attention.

    Attributes:
        scale: factor on q kᵀ.
        cap: scores become cap · tanh(scores / cap); None: no cap.
        dropout: probability of dropping an attention weight in this call (0 in evaluation).
    """

    scale: float
    cap: float | None = None
    dropout: float = 0.0


class Request(NamedTuple):
    """What a stack asks of a kernel in one forward.

    Attributes:
        mask: who sees whom.
        bias: (B or 1, H, T, S) added to the scores, or None.
        num_keys: S.
        query: (B, T, …), gives length, dtype and device.
        features: what is asked beyond the plain softmax, by name.
    """

    mask: AttentionMask
    bias: Tensor | None
    num_keys: int
    query: Tensor
    features: frozenset[str] = frozenset()

    def visible(self) -> Tensor | None:
        """The mask as a tensor, (B or 1, 1, T, S) bool; None where everything sees everything."""
        return self.mask.dense(self.query.shape[1], self.num_keys, self.query.device)


class Kernel:
    """One implementation of attention.

    Attributes:
        features: what it can do beyond the plain softmax, by name: what a Scoring may ask for.
    """

    features: frozenset[str] = frozenset()

    def pick(self, request: Request) -> Kernel:
        """The kernel that serves this request: this one, but for a kernel that chooses."""
        return self

    def prepare(self, request: Request) -> Prepared:
        """Mask and bias in the kernel's own form."""
        raise NotImplementedError

    def attend(self, q_BHTK: Tensor, k_BGSK: Tensor, v_BGSK: Tensor, prepared: Prepared, scoring: Scoring) -> Tensor:
        """(B, H, T, K) outputs; each of the G key and value heads serves H / G query heads."""
        raise NotImplementedError


class ReferenceKernel(Kernel):
    """The formula, step by step."""

    features = frozenset({"cap", "dropout"})

    def prepare(self, request: Request) -> Prepared:
        """Keeps the boolean mask and the bias apart."""
        return Prepared(request.visible(), request.bias)

    def attend(self, q_BHTK: Tensor, k_BGSK: Tensor, v_BGSK: Tensor, prepared: Prepared, scoring: Scoring) -> Tensor:
        """Score: scale, soft cap, bias, mask; then softmax, dropout, sum."""
        k_BHSK, v_BHSK = _for_each_query_head(q_BHTK, k_BGSK), _for_each_query_head(q_BHTK, v_BGSK)
        scores_BHTS = (q_BHTK @ k_BHSK.transpose(-2, -1)) * scoring.scale
        if scoring.cap is not None:
            scores_BHTS = scoring.cap * torch.tanh(scores_BHTS / scoring.cap)
        if prepared.bias is not None:
            scores_BHTS = scores_BHTS + prepared.bias
        if prepared.mask is not None:
            scores_BHTS = scores_BHTS.masked_fill(~prepared.mask, -math.inf)
        weights_BHTS = torch.softmax(scores_BHTS, dim=-1)
        if prepared.mask is not None:  # a softmax over nothing is NaN: such a query gets zeros
            weights_BHTS = weights_BHTS.masked_fill(~prepared.mask, 0.0)
        weights_BHTS = functional.dropout(weights_BHTS, scoring.dropout, training=scoring.dropout > 0)
        return weights_BHTS.to(v_BHSK.dtype) @ v_BHSK


class SDPAKernel(Kernel):
    """torch's scaled_dot_product_attention, which picks a fused implementation where it has one."""

    features = frozenset({"dropout"})

    def prepare(self, request: Request) -> Prepared:
        """A causal flag where that is all there is, else one tensor: boolean, or the bias with −inf where masked."""
        bias = request.bias
        if bias is None and request.mask.is_plain_causal and request.query.shape[1] == request.num_keys:
            return Prepared(None, causal=True)
        visible = request.visible()
        if bias is None or visible is None:
            return Prepared(bias if visible is None else visible)
        return Prepared(torch.where(visible, bias, -math.inf))

    def attend(self, q_BHTK: Tensor, k_BGSK: Tensor, v_BGSK: Tensor, prepared: Prepared, scoring: Scoring) -> Tensor:
        """One call; the additive mask takes the dtype of the queries, as torch demands.

        Without a mask torch's kernels share key heads without copies; with one, those of GPUs that save memory do not.
        """
        mask = prepared.mask
        if mask is not None:
            mask = mask if mask.dtype is torch.bool else mask.to(q_BHTK.dtype)
            k_BGSK, v_BGSK = _for_each_query_head(q_BHTK, k_BGSK), _for_each_query_head(q_BHTK, v_BGSK)
        return functional.scaled_dot_product_attention(
            q_BHTK,
            k_BGSK,
            v_BGSK,
            attn_mask=mask,
            dropout_p=scoring.dropout,
            is_causal=prepared.causal,
            scale=scoring.scale,
            enable_gqa=k_BGSK.shape[1] != q_BHTK.shape[1],
        )


def _for_each_query_head(q_BHTK: Tensor, k_BGSK: Tensor) -> Tensor:
    """Repeats each key or value head for the query heads that share it: (B, G, S, K) → (B, H, S, K)."""
    groups = q_BHTK.shape[1] // k_BGSK.shape[1]
    return k_BGSK if groups == 1 else k_BGSK.repeat_interleave(groups, dim=1)


KERNELS: Registry[Kernel] = Registry("kernel", {"sdpa": SDPAKernel(), "reference": ReferenceKernel()})
"""Kernels by name; each is stateless."""
