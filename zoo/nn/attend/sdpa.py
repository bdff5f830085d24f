"""torch's scaled_dot_product_attention, which picks a fused implementation where it has one.

It has no sinks of its own; they are one more key (`_with_sinks`), exactly.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from zoo.nn.attend.base import KERNELS, Kernel, Prepared, Request, Scoring, for_each_query_head


class SDPAKernel(Kernel):
    """torch's scaled_dot_product_attention, which picks a fused implementation where it has one."""

    name = "sdpa"
    features = frozenset({"bias", "prefix", "wide_heads", "dropout", "sinks"})

    def prepare(self, request: Request) -> Prepared:
        """A causal flag where that is all there is, else one tensor: the bias, or 0, with −inf where masked.

        Of a boolean mask torch would make the same in each layer anew, and keep it for each layer's backward.
        """
        bias = request.bias
        if bias is None and request.mask.is_plain_causal and request.query.shape[1] == request.num_keys:
            return Prepared(None, causal=True)
        visible = request.visible()
        if visible is None:
            return Prepared(bias)
        if bias is None:
            return Prepared(torch.where(visible, 0.0, -math.inf).to(request.demand().dtype))
        return Prepared(torch.where(visible, bias, -math.inf))

    def attend(self, q_BHTK: Tensor, k_BGSK: Tensor, v_BGSK: Tensor, prepared: Prepared, scoring: Scoring) -> Tensor:
        """One call; the additive mask takes the dtype of the queries, as torch demands."""
        assert scoring.features <= self.features, "the request did not say what the scoring asks"
        mask = prepared.mask
        if mask is not None and mask.dtype not in (torch.bool, q_BHTK.dtype):
            prepared = prepared._replace(mask=mask.to(q_BHTK.dtype))
        rows = _Rows(q_BHTK, k_BGSK, v_BGSK, prepared)
        if scoring.sinks is None:
            return _attend(rows, scoring)
        rows = _with_sinks(rows, scoring.sinks / scoring.scale)
        return _attend(rows, scoring)[:, :, int(prepared.causal) :, :-1]


class _Rows(NamedTuple):
    """What one call of torch's function is about."""

    q_BHTK: Tensor
    k_BGSK: Tensor
    v_BGSK: Tensor
    prepared: Prepared


def _with_sinks(rows: _Rows, sinks_H: Tensor) -> _Rows:
    """The rows with one more key, the first, whose value is 0 and whose score is the sink of the head.

    The score comes about in a new channel, in which queries hold the sink, this key 1 and all other keys 0. As torch's
    causal flag counts from the first key, there a first query is added too, which sees nothing but the sink.
    """
    q_BHTK, k_BGSK, v_BGSK, prepared = rows
    sinks_BHT1 = sinks_H.to(q_BHTK.dtype)[:, None, None].expand(*q_BHTK.shape[:3], 1)
    marks_BGS1 = functional.pad(torch.zeros_like(k_BGSK[..., :1]), (0, 0, 1, 0), value=1.0)
    mask = prepared.mask
    if mask is not None:
        mask = functional.pad(mask, (1, 0), value=float(mask.dtype is torch.bool))
    return _Rows(
        functional.pad(torch.cat((q_BHTK, sinks_BHT1), dim=-1), (0, 0, int(prepared.causal), 0)),
        torch.cat((functional.pad(k_BGSK, (0, 0, 1, 0)), marks_BGS1), dim=-1),
        functional.pad(v_BGSK, (0, 1, 1, 0)),
        prepared._replace(mask=mask),
    )


def _with_groups_as_queries(rows: _Rows) -> _Rows:
    """Rows of one query whose heads share key heads, as rows of a head for each key head, with a query for each sharer.

    So each key is read once for all of them, where a mask would have the keys copied for each.
    """
    q_BHTK, k_BGSK, _, prepared = rows
    num_kv_heads, mask = k_BGSK.shape[1], prepared.mask
    if mask is not None and mask.shape[1] > 1:
        mask = mask.unflatten(1, (num_kv_heads, -1)).squeeze(3)
    return rows._replace(
        q_BHTK=q_BHTK.unflatten(1, (num_kv_heads, -1)).squeeze(3), prepared=prepared._replace(mask=mask)
    )


def _attend(rows: _Rows, scoring: Scoring) -> Tensor:
    """One call of torch's function.

    Without a mask torch's kernels share key heads without copies; with one, those of GPUs that save memory do not.
    """
    q_BHTK, k_BGSK, v_BGSK, prepared = rows
    if q_BHTK.shape[2] == 1 and q_BHTK.shape[1] != k_BGSK.shape[1] and not prepared.causal:
        return _attend(_with_groups_as_queries(rows), scoring).reshape(*q_BHTK.shape[:3], v_BGSK.shape[-1])
    if prepared.mask is not None:
        k_BGSK, v_BGSK = for_each_query_head(q_BHTK, k_BGSK), for_each_query_head(q_BHTK, v_BGSK)
    return functional.scaled_dot_product_attention(
        q_BHTK,
        k_BGSK,
        v_BGSK,
        attn_mask=prepared.mask,
        dropout_p=scoring.dropout,
        is_causal=prepared.causal,
        scale=scoring.scale,
        enable_gqa=k_BGSK.shape[1] != q_BHTK.shape[1],
    )


KERNELS.add(SDPAKernel.name, SDPAKernel())
