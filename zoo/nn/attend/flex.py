"""torch's flex_attention: mask and scores are given as functions, which it compiles into one fused kernel.

Dong et al. 2024, arXiv:2412.05496. Blocks of the mask in which nothing is visible are not computed. Soft cap and bias
are functions of a score; sinks scale the output by what the softmax leaves to them, known from its log-sum-exp.

On CUDA the kernel is compiled, once for each form of mask and scores, when it is first called. On CPUs torch computes
it unfused and forwards only: there it is for tests.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from zoo.nn.attend.base import KERNELS, Demand, Kernel, Prepared, Request, Scoring
from zoo.nn.mask import AttentionMask

NARROWEST_HEAD = 16
"""Of the compiled kernel; narrower heads are filled up with zeros."""


class FlexKernel(Kernel):
    """torch's flex_attention: mask, bias, soft cap and sinks in one fused kernel; on CPUs forwards only."""

    name = "flex"
    features = frozenset({"bias", "prefix", "cap", "sinks"})
    is_compiled = True

    def refusal(self, demand: Demand) -> str | None:
        """It has no backward on CPUs, no float64 on CUDA, and nothing elsewhere."""
        if demand.device not in ("cpu", "cuda"):
            return f"runs on CUDA devices and, forwards only, on CPUs; not on {demand.device!r}"
        if demand.device == "cpu" and demand.gradients:
            return "has no gradients on CPUs, where torch's flex_attention computes forwards only"
        if demand.device == "cuda" and demand.dtype is torch.float64:
            return "has no float64 on CUDA devices"
        return super().refusal(demand)

    def prepare(self, request: Request) -> Prepared:
        """The mask as a block mask; the bias stays a tensor that the function of the score reads."""
        self.require(request.demand()._replace(gradients=False))
        return Prepared(None, request.bias, form=block_mask(request))

    def attend(self, q_BHTK: Tensor, k_BGSK: Tensor, v_BGSK: Tensor, prepared: Prepared, scoring: Scoring) -> Tensor:
        """One call, and the share of the softmax that sinks leave.

        Raises:
            ConfigError: on a CPU, where something needs gradients.
        """
        assert scoring.features <= self.features, "the request did not say what the scoring asks"
        asked = [tensor for tensor in (q_BHTK, k_BGSK, v_BGSK, prepared.bias, scoring.sinks) if tensor is not None]
        gradients = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in asked)
        self.require(Demand(q_BHTK.device.type, q_BHTK.dtype, gradients))
        out_BHTV, found = _flex_attention(q_BHTK.device.type)(
            _filled_up(q_BHTK),
            _filled_up(k_BGSK),
            _filled_up(v_BGSK),
            score_mod=score_function(scoring.cap, prepared.bias),
            block_mask=prepared.form,
            scale=scoring.scale,
            enable_gqa=k_BGSK.shape[1] != q_BHTK.shape[1],
        )
        out_BHTV = out_BHTV[..., : v_BGSK.shape[-1]]
        if scoring.sinks is None:
            return out_BHTV
        # e^lse / (e^lse + e^sink); 0 where nothing is seen, because there lse is −∞
        kept_BHT = torch.sigmoid(found.lse - scoring.sinks[:, None])
        return out_BHTV * kept_BHT[..., None].to(out_BHTV.dtype)


def block_mask(request: Request) -> Any:
    """The mask as torch's BlockMask; None where everything sees everything."""
    from torch.nn.attention.flex_attention import create_block_mask

    mask, (rows, length) = request.mask, request.query.shape[:2]
    function = mask_function(mask, request.query.device)
    if function is None:
        return None
    alike = mask.query_documents is None and mask.prefix is None
    return create_block_mask(
        function, 1 if alike else rows, None, length, request.num_keys, device=str(request.query.device)
    )


def mask_function(mask: AttentionMask, device: torch.device) -> Callable[..., Tensor] | None:
    """(row, head, query, key) → whether the query sees the key, all of them 0-d int tensors; None: always.

    It says what `AttentionMask.dense` says. The offset is a tensor, because a number would be compiled into the kernel,
    anew for each length of a cache.
    """
    from torch.nn.attention.flex_attention import and_masks

    offset = torch.as_tensor(mask.offset, device=device)
    prefix, query_documents, key_documents = mask.prefix, mask.query_documents, mask.key_documents
    left, right = mask.window

    def earlier(row: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return key <= query + offset

    def earlier_or_prefix(row: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        assert prefix is not None
        return (key <= query + offset) | (prefix[row, query + offset] & prefix[row, key])

    def same_document(row: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        assert query_documents is not None
        assert key_documents is not None
        document = query_documents[row, query]
        return (document == key_documents[row, key]) & (document >= 0)

    def not_too_early(row: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        assert left is not None
        return query + offset - key <= left

    def not_too_late(row: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        assert right is not None
        return key - query - offset <= right

    asked = {
        earlier: mask.causal and prefix is None,
        earlier_or_prefix: prefix is not None,
        same_document: query_documents is not None,
        not_too_early: left is not None,
        not_too_late: right is not None,
    }
    restrictions = [function for function, is_asked in asked.items() if is_asked]
    return and_masks(*restrictions) if restrictions else None


def score_function(cap: float | None, bias: Tensor | None) -> Callable[..., Tensor] | None:
    """(score, row, head, query, key) → the score with soft cap and bias (B or 1, H, T, S); None: it stays as it is."""
    if cap is None and bias is None:
        return None
    shared = bias is not None and bias.shape[0] == 1

    def score_with_both(score: Tensor, row: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        if cap is not None:
            score = cap * torch.tanh(score / cap)
        return score if bias is None else score + bias[0 if shared else row, head, query, key]

    return score_with_both


def _filled_up(heads_BHTK: Tensor) -> Tensor:
    """Zeros change no score and no other channel of a value."""
    return functional.pad(heads_BHTK, (0, max(0, NARROWEST_HEAD - heads_BHTK.shape[-1])))


@functools.cache
def _flex_attention(device: str) -> Callable[..., Any]:
    """(queries, keys, values, …) → outputs and their log-sum-exp; compiled where that is what makes it fast."""
    from torch.nn.attention.flex_attention import AuxRequest, flex_attention

    attend: Callable[..., Any] = functools.partial(flex_attention, return_aux=AuxRequest(lse=True))
    return torch.compile(attend) if device == "cuda" else attend


KERNELS.add(FlexKernel.name, FlexKernel())
