"""torch's scaled_dot_product_attention, which picks a fused implementation where it has one."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from zoo.nn.attend.base import KERNELS, Kernel, Prepared, Request, Scoring, for_each_query_head


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
            k_BGSK, v_BGSK = for_each_query_head(q_BHTK, k_BGSK), for_each_query_head(q_BHTK, v_BGSK)
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


KERNELS.add("sdpa", SDPAKernel())
