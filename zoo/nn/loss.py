"""The loss of a vocabulary-sized output layer, without the logits of all positions in memory at once.

Hidden states are projected a chunk of rows at a time; loss and gradients of a chunk are computed together and its
logits dropped before the next chunk is begun. The result equals cross entropy over the full logits up to rounding, and
what is returned is the sum over targets, never a mean: who divides it knows the targets of the whole optimizer step.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from zoo.batch import IGNORE_INDEX
from zoo.nn.few_rows import linear

CHUNK_ELEMENTS = 1 << 24
"""Most logits alive at once (64 MiB in float32). No setting: any other number gives the same result, a fourth of it
takes about an eighth more time, three times as much brings nothing (`python -m benchmarks.recompute --chunks`)."""

GPU_CHUNK_ELEMENTS = 1 << 27
"""The same on CUDA devices (512 MiB in float32): four times as much brings nothing there."""


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
        return linear(features, self.weight_RD, bias_R)

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
    device = _device_type(features_ND)
    rows = _chunk_rows(device, projection)
    fused = device == "cuda" and projection.cap is None
    chunks = _Chunks(rows, _compute_dtype(features_ND), torch.is_grad_enabled(), projection.cap, fused)
    total: Tensor = _ChunkedCrossEntropy.apply(
        features_ND, projection.weight_RD, projection.bias_V, labels_N, chunks, projection.vocab_size
    )
    return total


_as_on: list[str] = []


@contextlib.contextmanager
def computed_as_on(device_type: str) -> Iterator[None]:
    """Inside, losses are computed as on devices of this type, wherever the tensors are: to count memory, to test."""
    _as_on.append(device_type)
    try:
        yield
    finally:
        _as_on.pop()


def _device_type(features_ND: Tensor) -> str:
    return _as_on[-1] if _as_on else features_ND.device.type


def _chunk_rows(device_type: str, projection: Projection) -> int:
    """Positions of a chunk."""
    elements = GPU_CHUNK_ELEMENTS if device_type == "cuda" else CHUNK_ELEMENTS
    return max(1, elements // len(projection.weight_RD))


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
    rows = _chunk_rows(_device_type(features_ND), projection)
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
    """How a loss is computed chunk by chunk.

    Attributes:
        rows: positions of a chunk. dtype: of products. gradients: whether they are wanted. cap: soft cap of the logits.
        fused: whether the logarithm of the softmax is one kernel, or made in place, pass by pass.
    """

    rows: int
    dtype: torch.dtype
    gradients: bool
    cap: float | None
    fused: bool


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
            softmax = _softmax_in_one_kernel if chunks.fused else _softmax_in_place
            total, sums = _cross_entropy_in_chunks(features, projection, labels_N, chunks.rows, wanted, softmax)
        pairs = zip(sums, (features_ND, weight_RD, bias_V), strict=True)
        ctx.save_for_backward(*(None if s is None or t is None else s.to(t.dtype) for s, t in pairs))
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        scaled = [None if saved is None else saved * grads[0].to(saved.dtype) for saved in ctx.saved_tensors]
        return (*scaled, None, None, None)


class _Slope(NamedTuple):
    """What a chunk of logits amounts to.

    Attributes:
        losses_N1: cross entropy of each position. grad_NR: its derivative by the logits, in the dtype of products, 0 in
            spare columns; None: not wanted.
    """

    losses_N1: Tensor
    grad_NR: Tensor | None


_Softmax = Callable[[Tensor, Tensor, Projection, bool], _Slope]
"""(N, R) logits without cap, which it may write over, and (N, 1) labels to losses and, if wanted, their derivatives."""


def _cross_entropy_in_chunks(
    features_ND: Tensor,
    projection: Projection,
    labels_N: Tensor,
    rows: int,
    wanted: tuple[bool, ...],
    softmax: _Softmax,
) -> tuple[Tensor, list[Tensor | None]]:
    """The sum of cross entropies and, where wanted, its gradients by features, weight and bias; float32 or finer.

    One buffer serves all chunks, because fresh memory for each would cost as much as the arithmetic on it. Positions
    that are not scored are taken out of the narrow factor of each product.
    """
    weight_RD, bias_V, _, vocab_size = projection
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
        scored_N1 = (labels_N[part] != IGNORE_INDEX)[:, None]
        target_N1 = labels_N[part, None].where(scored_N1, 0)
        logits_NR = projection.product_into(buffer_NR[: len(chunk_ND)], chunk_ND)
        losses_N1, grad_NR = softmax(logits_NR, target_N1, projection, any(wanted))
        total += (losses_N1 * scored_N1).sum()
        if grad_NR is None:
            continue
        if by_features is not None:
            by_features[part] = (grad_NR @ weight_RD) * scored_N1
        if by_weight is not None:
            _add_product(by_weight, grad_NR.T, chunk_ND * scored_N1)
        if by_bias is not None:
            by_bias += grad_NR[:, :vocab_size].T.mv(scored_N1[:, 0].to(grad_NR.dtype))
    return total, sums


def _softmax_in_place(logits_NR: Tensor, target_N1: Tensor, projection: Projection, wanted: bool) -> _Slope:
    """Logits become their exponentials and then their gradients where they are: each exponential is taken once.

    For devices whose arithmetic costs more than their memory (CPUs), and for soft caps.
    """
    cap, vocab_size, low = projection.cap, projection.vocab_size, logits_NR.dtype
    logits_NR = logits_NR.to(torch.promote_types(low, torch.float32))
    logits_NV = projection.capped(logits_NR[:, :vocab_size])
    slope_NV = None if cap is None or not wanted else 1 - (logits_NV / cap).square()
    highest_N1 = logits_NV.amax(dim=-1, keepdim=True)
    of_target_N1 = logits_NV.gather(1, target_N1) - highest_N1
    exponentials_NV = logits_NV.sub_(highest_N1).exp_()
    sum_N1 = exponentials_NV.sum(dim=-1, keepdim=True)
    losses_N1 = sum_N1.log() - of_target_N1
    if not wanted:
        return _Slope(losses_N1, None)
    # d loss / d logits = softmax − one-hot
    grad_NV = exponentials_NV.mul_(1 / sum_N1)
    grad_NV.scatter_add_(1, target_N1, torch.full_like(losses_N1, -1.0))
    if slope_NV is not None:
        logits_NR[:, :vocab_size] = grad_NV.mul_(slope_NV)
    logits_NR[:, vocab_size:] = 0
    return _Slope(losses_N1, logits_NR.to(low))


def _softmax_in_one_kernel(logits_NR: Tensor, target_N1: Tensor, projection: Projection, wanted: bool) -> _Slope:
    """The logarithm of the softmax in one kernel, its exponential in another that rounds as it writes over the logits.

    For devices whose kernels wait for memory (GPUs): GPT-2 124M took 1.34 times as many tokens a second as in place.
    """
    assert projection.cap is None, "a cap needs the logits again"
    logits_NR[:, projection.vocab_size :] = -torch.inf
    logarithms_NR = logits_NR.log_softmax(dim=-1, dtype=torch.promote_types(logits_NR.dtype, torch.float32))
    of_target_N1 = logarithms_NR[:, : projection.vocab_size].gather(1, target_N1)
    if not wanted:
        return _Slope(-of_target_N1, None)
    grad_NR = torch.exp(logarithms_NR, out=logits_NR)
    return _Slope(-of_target_N1, grad_NR.scatter_(1, target_N1, of_target_N1.expm1().to(grad_NR.dtype)))


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
