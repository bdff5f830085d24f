"""The loss of a vocabulary-sized output layer, without the logits of all positions in memory at once.

Hidden states are projected a chunk of rows at a time; loss and gradients of a chunk are computed together and its
logits dropped before the next chunk is begun. The result equals cross entropy over the full logits up to rounding, and
what is returned is the sum over targets, never a mean: who divides it knows the targets of the whole optimizer step.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from zoo.batch import IGNORE_INDEX

CHUNK_ELEMENTS = 1 << 24
"""Most logits alive at once (64 MiB in float32). No setting: any other number gives the same result, a fourth of it
takes about an eighth more time, three times as much brings nothing (`python -m benchmarks.recompute --chunks`)."""


class Projection(NamedTuple):
    """From features to logits: cap · tanh((features @ weightᵀ + bias) / cap), the first V columns.

    Attributes:
        weight_RD: one row for each entry of the vocabulary, then spare ones: a product of 50,304 columns may be much
            faster than one of 50,257.
        bias_V: added to the logits; None: nothing is.
        cap: soft cap of the logits; None: none.
        vocab_size: V, at most R.
    """

    weight_RD: Tensor
    bias_V: Tensor | None
    cap: float | None
    vocab_size: int

    def logits(self, features: Tensor) -> Tensor:
        """(…, D) → (…, V)."""
        return self.capped(self.product(features)[..., : self.vocab_size])

    def product(self, features: Tensor) -> Tensor:
        """(…, D) → (…, R), before the cap; what spare columns hold means nothing."""
        spare = len(self.weight_RD) - self.vocab_size
        bias_R = None if self.bias_V is None else functional.pad(self.bias_V, (0, spare))
        return functional.linear(features, self.weight_RD, bias_R)

    def product_into(self, buffer_NR: Tensor, features_ND: Tensor) -> Tensor:
        """As `product`, in memory that is there already; for use without autograd."""
        torch.mm(features_ND, self.weight_RD.T, out=buffer_NR)
        if self.bias_V is not None:
            buffer_NR[:, : self.vocab_size] += self.bias_V
        return buffer_NR

    def capped(self, logits: Tensor) -> Tensor:
        """The soft cap, elementwise (Gemma 2, arXiv:2408.00118, section 2)."""
        return logits if self.cap is None else self.cap * (logits / self.cap).tanh()


class OutputLayer(Protocol):
    """What a head must offer for its loss to be computed in chunks: logits = projection.logits(features(hidden))."""

    projection: Projection

    def features(self, hidden: Tensor) -> Tensor:
        """What is multiplied by the weight, (…, D)."""


def token_loss(head: OutputLayer, hidden_ND: Tensor, labels_N: Tensor) -> Tensor:
    """Summed cross entropy of the labels that are not IGNORE_INDEX.

    Args:
        head: the output layer.
        hidden_ND: (N, D) hidden states, already gathered where few positions are scored.
        labels_N: (N,) int64 in [0, V) or IGNORE_INDEX.

    Returns:
        The sum, a float32 scalar, or finer as the hidden states are.
    """
    features_ND, projection = head.features(hidden_ND), head.projection
    rows = max(1, CHUNK_ELEMENTS // len(projection.weight_RD))
    chunks = _Chunks(rows, _compute_dtype(features_ND), torch.is_grad_enabled(), projection.cap)
    total: Tensor = _ChunkedCrossEntropy.apply(
        features_ND, projection.weight_RD, projection.bias_V, labels_N, chunks, projection.vocab_size
    )
    return total


class TokenScores(NamedTuple):
    """Each label by itself, where it is not IGNORE_INDEX.

    Attributes:
        losses_N: (N,) cross entropy in nats, float32 or finer; 0 where the label is IGNORE_INDEX.
        correct_N: (N,) bool, whether the likeliest entry is the label.
    """

    losses_N: Tensor
    correct_N: Tensor


@torch.no_grad()
def token_scores(head: OutputLayer, hidden_ND: Tensor, labels_N: Tensor) -> TokenScores:
    """What `token_loss` sums up, label by label and without gradients; the arguments are the same."""
    features_ND, projection = head.features(hidden_ND), head.projection
    rows = max(1, CHUNK_ELEMENTS // len(projection.weight_RD))
    losses, correct = [], []
    for chunk_ND, labels in zip(features_ND.split(rows), labels_N.split(rows), strict=True):
        logits_NV = projection.product(chunk_ND)[:, : projection.vocab_size]
        logits_NV = projection.capped(logits_NV.to(torch.promote_types(logits_NV.dtype, torch.float32)))
        losses.append(functional.cross_entropy(logits_NV, labels, reduction="none", ignore_index=IGNORE_INDEX))
        correct.append(logits_NV.argmax(dim=-1) == labels)
    return TokenScores(torch.cat(losses), torch.cat(correct))


def _compute_dtype(features_ND: Tensor) -> torch.dtype:
    """The dtype that a projection of these features has here; autocast leaves float64 alone."""
    device = features_ND.device.type
    lowered = torch.is_autocast_enabled(device) and features_ND.dtype is not torch.float64
    return torch.get_autocast_dtype(device) if lowered else features_ND.dtype


class _Chunks(NamedTuple):
    """How a loss is computed chunk by chunk: positions of a chunk, dtype of products, whether gradients are wanted."""

    rows: int
    dtype: torch.dtype
    gradients: bool
    cap: float | None


class _ChunkedCrossEntropy(torch.autograd.Function):
    """Sum of cross entropies; gradients are made in the forward, chunk by chunk, and scaled in the backward."""

    @staticmethod
    def forward(
        ctx: Any,
        features_ND: Tensor,
        weight_RD: Tensor,
        bias_V: Tensor | None,
        labels_N: Tensor,
        chunks: _Chunks,
        vocab_size: int,
    ) -> Tensor:
        with torch.autocast(features_ND.device.type, enabled=False):
            bias_low = None if bias_V is None else bias_V.to(chunks.dtype)
            projection = Projection(weight_RD.to(chunks.dtype), bias_low, chunks.cap, vocab_size)
            wanted = tuple(needed and chunks.gradients for needed in ctx.needs_input_grad[:3])
            features = features_ND.to(chunks.dtype)
            total, sums = _cross_entropy_in_chunks(features, projection, labels_N, chunks.rows, wanted)
        pairs = zip(sums, (features_ND, weight_RD, bias_V), strict=True)
        ctx.save_for_backward(*(None if s is None or t is None else s.to(t.dtype) for s, t in pairs))
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        scaled = [None if saved is None else saved * grads[0].to(saved.dtype) for saved in ctx.saved_tensors]
        return (*scaled, None, None, None)


def _cross_entropy_in_chunks(
    features_ND: Tensor, projection: Projection, labels_N: Tensor, rows: int, wanted: tuple[bool, ...]
) -> tuple[Tensor, list[Tensor | None]]:
    """The sum of cross entropies and, where wanted, its gradients by features, weight and bias; float32 or finer.

    Logits of a chunk become their exponentials and then their gradients where they are: each exponential is taken once,
    and one buffer serves all chunks, because fresh memory for each would cost as much as the arithmetic on it.
    """
    weight_RD, bias_V, cap, vocab_size = projection
    fine = torch.promote_types(features_ND.dtype, torch.float32)
    total = features_ND.new_zeros((), dtype=fine)
    sums = [
        torch.zeros_like(tensor, dtype=fine) if want and tensor is not None else None
        for want, tensor in zip(wanted, (features_ND, weight_RD, bias_V), strict=True)
    ]
    by_features, by_weight, by_bias = sums
    buffer_NR = features_ND.new_empty(min(rows, len(features_ND)), len(weight_RD))
    for start in range(0, len(features_ND), rows):
        part = slice(start, start + rows)
        chunk_ND = features_ND[part]
        logits_NR = projection.product_into(buffer_NR[: len(chunk_ND)], chunk_ND).to(fine)
        logits_NV = projection.capped(logits_NR[:, :vocab_size])
        slope_NV = None if cap is None or not any(wanted) else 1 - (logits_NV / cap).square()
        scored_N1 = (labels_N[part] != IGNORE_INDEX)[:, None]
        target_N1 = labels_N[part, None].where(scored_N1, 0)
        highest_N1 = logits_NV.amax(dim=-1, keepdim=True)
        of_target_N1 = logits_NV.gather(1, target_N1) - highest_N1
        exponentials_NV = logits_NV.sub_(highest_N1).exp_()
        sum_N1 = exponentials_NV.sum(dim=-1, keepdim=True)
        total += ((sum_N1.log() - of_target_N1) * scored_N1).sum()
        if not any(wanted):
            continue
        # d loss / d logits = softmax − one-hot, on scored rows
        grad_NV = exponentials_NV.mul_(scored_N1 / sum_N1)
        grad_NV.scatter_add_(1, target_N1, -scored_N1.to(fine))
        if slope_NV is not None:
            grad_NV.mul_(slope_NV)
            logits_NR[:, :vocab_size] = grad_NV
        logits_NR[:, vocab_size:] = 0
        low_NR = logits_NR.to(features_ND.dtype)
        if by_features is not None:
            by_features[part] = low_NR @ weight_RD
        if by_weight is not None:
            _add_product(by_weight, low_NR.T, chunk_ND)
        if by_bias is not None:
            by_bias += grad_NV.sum(dim=0)
    return total, sums


def _add_product(total: Tensor, one: Tensor, other: Tensor) -> None:
    """total += one @ other, without memory for the product where all are of one dtype."""
    if total.dtype is one.dtype:
        total.addmm_(one, other)
    else:
        total += one @ other


def classification_loss(logits_NC: Tensor, labels_N: Tensor, *, accuracy: bool = False) -> tuple[Tensor, Tensor | None]:
    """Summed cross entropy over a few classes, and the number of correct predictions or None.

    Args:
        logits_NC: (N, classes).
        labels_N: (N,) int64 in [0, classes) or IGNORE_INDEX.
        accuracy: whether to count correct predictions too.
    """
    fine = torch.promote_types(logits_NC.dtype, torch.float32)
    loss = functional.cross_entropy(logits_NC.to(fine), labels_N, reduction="sum", ignore_index=IGNORE_INDEX)
    return loss, (logits_NC.argmax(dim=-1) == labels_N).sum() if accuracy else None
