"""The loss of a vocabulary-sized output layer, without the logits of all positions in memory at once.

Hidden states are projected a chunk of rows at a time; loss and gradients of a chunk are computed together and its logits
dropped before the next chunk is begun. The result equals cross entropy over the full logits up to rounding, and what is
returned is the sum over targets, never a mean: who divides it knows the targets of the whole optimizer step.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from zoo.batch import IGNORE_INDEX

CHUNK_ELEMENTS = 1 << 24
"""Most logits alive at once (64 MiB in float32)."""


class OutputLayer(Protocol):
    """What a head must offer for its loss to be computed in chunks: logits = features(hidden) @ weightᵀ + bias."""

    weight: Tensor
    bias: Tensor | None

    def features(self, hidden: Tensor) -> Tensor:
        """What is multiplied by the weight, (…, D)."""


def token_loss(
    head: Any, hidden_ND: Tensor, labels_N: Tensor, *, accuracy: bool = False
) -> tuple[Tensor, Tensor | None]:
    """Summed cross entropy of the labels that are not IGNORE_INDEX.

    Args:
        head: the output layer.
        hidden_ND: (N, D) hidden states, already gathered where few positions are scored.
        labels_N: (N,) int64 in [0, V) or IGNORE_INDEX.
        accuracy: whether to count correct predictions too.

    Returns:
        The sum (a float32 scalar, or finer as the hidden states are), and the number of correct predictions or None.
    """
    features_ND = head.features(hidden_ND)
    rows = max(1, CHUNK_ELEMENTS // head.weight.shape[0])
    correct = _count_correct(features_ND, head, labels_N, rows) if accuracy else None
    if features_ND.shape[0] <= rows:
        logits_NV = functional.linear(features_ND, head.weight, head.bias)
        fine = torch.promote_types(logits_NV.dtype, torch.float32)
        return functional.cross_entropy(
            logits_NV.to(fine), labels_N, reduction="sum", ignore_index=IGNORE_INDEX
        ), correct
    bias = head.bias
    dtype = _compute_dtype(features_ND)
    return _ChunkedCrossEntropy.apply(features_ND, head.weight, bias, labels_N, rows, dtype), correct


def _compute_dtype(features_ND: Tensor) -> torch.dtype:
    device = features_ND.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else features_ND.dtype


@torch.no_grad()
def _count_correct(features_ND: Tensor, head: Any, labels_N: Tensor, rows: int) -> Tensor:
    correct = labels_N.new_zeros(())
    for features, labels in zip(features_ND.split(rows), labels_N.split(rows), strict=True):
        correct += (functional.linear(features, head.weight, head.bias).argmax(dim=-1) == labels).sum()
    return correct


class _ChunkedCrossEntropy(torch.autograd.Function):
    """Sum of cross entropies; gradients are made in the forward, chunk by chunk, and scaled in the backward."""

    @staticmethod
    def forward(
        ctx: Any,
        features_ND: Tensor,
        weight_VD: Tensor,
        bias_V: Tensor | None,
        labels_N: Tensor,
        rows: int,
        dtype: torch.dtype,
    ) -> Tensor:
        fine = torch.promote_types(dtype, torch.float32)
        needs_features, needs_weight, needs_bias = ctx.needs_input_grad[:3]
        grad_features = torch.empty_like(features_ND) if needs_features else None
        grad_weight = torch.zeros_like(weight_VD) if needs_weight else None
        grad_bias = torch.zeros_like(bias_V) if needs_bias and bias_V is not None else None
        total = features_ND.new_zeros((), dtype=fine)
        with torch.autocast(features_ND.device.type, enabled=False):
            features_low, weight_low = features_ND.to(dtype), weight_VD.to(dtype)
            bias_low = None if bias_V is None else bias_V.to(dtype)
            for start in range(0, features_ND.shape[0], rows):
                part = slice(start, start + rows)
                logits = functional.linear(features_low[part], weight_low, bias_low).to(fine)
                scored = labels_N[part] != IGNORE_INDEX
                target = labels_N[part].clamp(min=0)[:, None]
                log_sum = logits.logsumexp(dim=-1)
                total += ((log_sum - logits.gather(1, target)[:, 0]) * scored).sum()
                if not (needs_features or needs_weight or needs_bias):
                    continue
                # d loss / d logits = softmax − one-hot, on scored rows
                grad = logits.sub_(log_sum[:, None]).exp_()
                grad.scatter_add_(1, target, grad.new_full(target.shape, -1.0))
                grad.mul_(scored[:, None])
                low = grad.to(dtype)
                if grad_features is not None:
                    grad_features[part] = (low @ weight_low).to(grad_features.dtype)
                if grad_weight is not None:
                    grad_weight += low.T @ features_low[part]
                if grad_bias is not None:
                    grad_bias += grad.sum(dim=0)
        ctx.save_for_backward(grad_features, grad_weight, grad_bias)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        scaled = [None if saved is None else saved * grads[0].to(saved.dtype) for saved in ctx.saved_tensors]
        return (*scaled, None, None, None)


def classification_loss(logits_NC: Tensor, labels_N: Tensor, *, accuracy: bool = False) -> tuple[Tensor, Tensor | None]:
    """Summed cross entropy over a few classes, and the number of correct predictions or None.

    Args:
        logits_NC: (N, classes).
        labels_N: (N,) int64 in [0, classes) or IGNORE_INDEX.
        accuracy: whether to count correct predictions too.
    """
    fine = torch.promote_types(logits_NC.dtype, torch.float32)
    loss = nn.functional.cross_entropy(logits_NC.to(fine), labels_N, reduction="sum", ignore_index=IGNORE_INDEX)
    return loss, (logits_NC.argmax(dim=-1) == labels_N).sum() if accuracy else None
