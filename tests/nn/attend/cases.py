"""Masks, biases and inputs that every kernel is tried on."""

import torch
from torch import Tensor

from zoo.nn.attend import KERNELS, Demand, Kernel, Request, Scoring
from zoo.nn.mask import AttentionMask

B, H, T, S, K = 2, 4, 6, 6, 8
DOCUMENTS = torch.tensor([[0, 0, 0, 3, 3, -1], [-1, -1, 1, 1, 1, 0]])
PREFIX = torch.tensor([[1, 1, 0, 1, 1, 0], [0, 0, 1, 1, 0, 1]]).bool()
MASKS = {
    "everything": AttentionMask(),
    "causal": AttentionMask(causal=True),
    "documents": AttentionMask(query_documents=DOCUMENTS, key_documents=DOCUMENTS),
    "causal documents": AttentionMask(True, None, DOCUMENTS, DOCUMENTS),
    "prefix": AttentionMask(True, PREFIX),
    "prefix documents": AttentionMask(True, PREFIX, DOCUMENTS, DOCUMENTS),
    "window": AttentionMask(window=(1, 1)),
    "causal window": AttentionMask(causal=True, window=(2, 0)),
    "prefix window": AttentionMask(True, PREFIX, window=(2, 2)),
    "prefix window documents": AttentionMask(True, PREFIX, DOCUMENTS, DOCUMENTS, (1, 1)),
    "all padding": AttentionMask(query_documents=torch.full((B, T), -1), key_documents=torch.full((B, S), -1)),
}
BIASES = {"no bias": None, "shared bias": (1, H, T, S), "bias of each row": (B, H, T, S)}

# outputs and gradients, relative to the largest: bfloat16 keeps 8 bits, and errors of a few roundings add up
TOLERANCES = {torch.float64: 1e-12, torch.float32: 2e-5, torch.bfloat16: 4e-2}


def differentiable() -> list[str]:
    """The kernels, of those that are registered now, that can be trained with on a CPU."""
    return [name for name, kernel in KERNELS.items() if kernel.refusal(Demand("cpu", torch.float64)) is None]


DIFFERENTIABLE = differentiable()


def inputs(groups: int = H, bias: tuple[int, ...] | None = None, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    generator = torch.Generator().manual_seed(5)
    shapes = [(B, H, T, K), (B, groups, S, K), (B, groups, S, K), *([bias] if bias else [])]
    drawn = [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]
    return [tensor.to(dtype).requires_grad_() for tensor in drawn]


def run(kernel: Kernel, mask: AttentionMask, tensors: list[Tensor], scoring: Scoring) -> list[Tensor]:
    """Output and gradients."""
    q, k, v, *bias = tensors
    hidden = torch.empty(B, T, 1, dtype=q.dtype)
    prepared = kernel.prepare(Request(mask, bias[0] if bias else None, k.shape[2], hidden, scoring.features))
    out = kernel.attend(q, k, v, prepared, scoring)
    return [out, *gradients(out, tensors)]


def gradients(out: Tensor, tensors: list[Tensor]) -> list[Tensor]:
    direction = torch.randn(out.shape, generator=torch.Generator().manual_seed(6)).to(out.dtype)
    return list(torch.autograd.grad((out * direction).sum(), tensors))


def assert_close(found: list[Tensor], expected: list[Tensor], tolerance: float) -> None:
    largest = max(tensor.abs().max().item() for tensor in expected) or 1.0
    for one, other in zip(found, expected, strict=True):
        assert one.isfinite().all()
        assert (one.double() - other.double()).abs().max() <= tolerance * largest
