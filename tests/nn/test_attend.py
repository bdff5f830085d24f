"""Every kernel equals the formula: outputs and gradients, for every form of mask and bias, in every precision."""

import itertools
import math

import pytest
import torch
from torch import Tensor

from zoo.nn.attend import KERNELS, Kernel, Request, Scoring
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
    "all padding": AttentionMask(query_documents=torch.full((B, T), -1), key_documents=torch.full((B, S), -1)),
}
BIASES = {"no bias": None, "shared bias": (1, H, T, S), "bias of each row": (B, H, T, S)}

# outputs and gradients, relative to the largest: bfloat16 keeps 8 bits, and errors of a few roundings add up
TOLERANCES = {torch.float64: 1e-12, torch.float32: 2e-5, torch.bfloat16: 4e-2}


def by_hand(
    q: Tensor, k: Tensor, v: Tensor, visible: Tensor | None, bias: Tensor | None, scale: float, cap: float | None
) -> Tensor:
    """The formula, query by query and head by head."""
    out = torch.zeros_like(q)
    shared = q.shape[1] // k.shape[1]
    for b, h, t in itertools.product(*map(range, q.shape[:3])):
        scores = k[b, h // shared] @ q[b, h, t] * scale
        scores = scores if cap is None else cap * torch.tanh(scores / cap)
        scores = scores if bias is None else scores + bias[b % bias.shape[0], h, t]
        seen = torch.ones(len(scores), dtype=torch.bool) if visible is None else visible[b % len(visible), 0, t]
        if seen.any():
            weights = torch.exp(scores[seen] - scores[seen].max())
            out[b, h, t] = weights / weights.sum() @ v[b, h // shared][seen]
    return out


def inputs(groups: int = H, bias: tuple[int, ...] | None = None, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    generator = torch.Generator().manual_seed(5)
    shapes = [(B, H, T, K), (B, groups, S, K), (B, groups, S, K), *([bias] if bias else [])]
    drawn = [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]
    return [tensor.to(dtype).requires_grad_() for tensor in drawn]


def run(kernel: Kernel, mask: AttentionMask, tensors: list[Tensor], scoring: Scoring) -> list[Tensor]:
    """Output and gradients."""
    q, k, v, *bias = tensors
    hidden = torch.empty(B, T, 1, dtype=q.dtype)
    prepared = kernel.prepare(Request(mask, bias[0] if bias else None, k.shape[2], hidden))
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


@pytest.mark.parametrize("bias", BIASES.values(), ids=BIASES)
@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
@pytest.mark.parametrize("groups", [H, 2, 1])
def test_reference_is_the_formula(mask: AttentionMask, bias: tuple[int, ...] | None, groups: int) -> None:
    tensors = inputs(groups, bias)
    for cap in (None, 1.5):
        found = run(KERNELS["reference"], mask, tensors, Scoring(0.3, cap))
        visible = mask.dense(T, S, torch.device("cpu"))
        out = by_hand(*tensors[:3], visible, tensors[3] if bias else None, 0.3, cap)
        assert_close(found, [out, *gradients(out, tensors)] if out.requires_grad else found, 1e-12)


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("bias", BIASES.values(), ids=BIASES)
@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
def test_kernels_equal_the_reference(name: str, mask: AttentionMask, bias: tuple[int, ...] | None) -> None:
    for groups, (dtype, tolerance) in itertools.product((H, 2), TOLERANCES.items()):
        tensors = inputs(groups, bias, dtype)
        exact = [tensor.detach().double().requires_grad_() for tensor in tensors]
        expected = run(KERNELS["reference"], mask, exact, Scoring(0.3))
        assert_close(run(KERNELS[name], mask, tensors, Scoring(0.3)), expected, tolerance)


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("bias", BIASES.values(), ids=BIASES)
def test_a_query_that_sees_nothing_yields_zeros(name: str, bias: tuple[int, ...] | None) -> None:
    tensors = inputs(H, bias, torch.float32)
    out, *grads = run(KERNELS[name], MASKS["causal documents"], tensors, Scoring(0.3))
    padding = (DOCUMENTS < 0)[:, None, :, None].expand_as(out)
    assert (out[padding] == 0).all()
    assert (out[~padding] != 0).all()
    assert all(gradient.isfinite().all() for gradient in grads)
    assert (grads[0][padding] == 0).all()  # queries of padding
    assert (grads[2][padding] == 0).all()  # values of padding, which nothing sees
    out, *grads = run(KERNELS[name], MASKS["all padding"], tensors, Scoring(0.3))
    assert all((tensor == 0).all() for tensor in (out, *grads))


@pytest.mark.parametrize("name", KERNELS)
def test_gradients_stay_inside_the_mask(name: str) -> None:
    for mask in MASKS.values():
        tensors = inputs(H, (B, H, T, S))
        *_, by_bias = run(KERNELS[name], mask, tensors, Scoring(0.3))
        visible = mask.dense(T, S, torch.device("cpu"))
        if visible is not None:
            assert (by_bias[~visible.expand_as(by_bias)] == 0).all()


@pytest.mark.parametrize("name", KERNELS)
def test_fewer_queries_than_keys(name: str) -> None:
    """Decoding on a cache: the last queries of a row see what they would see with all others beside them."""
    whole = inputs()
    for mask in (MASKS["causal"], MASKS["causal documents"], MASKS["prefix"], MASKS["causal window"]):
        full = run(KERNELS[name], mask, whole, Scoring(0.3))[0]
        for offset in (1, T - 1):
            late = None if mask.query_documents is None else mask.query_documents[:, offset:]
            part = AttentionMask(mask.causal, mask.prefix, late, mask.key_documents, mask.window, offset)
            q, k, v = whole[0][:, :, offset:], *whole[1:]
            prepared = KERNELS[name].prepare(Request(part, None, S, torch.empty(B, T - offset, 1)))
            torch.testing.assert_close(KERNELS[name].attend(q, k, v, prepared, Scoring(0.3)), full[:, :, offset:])


@pytest.mark.parametrize("name", KERNELS)
def test_grouped_heads_equal_repeated_ones(name: str) -> None:
    q, k, v = inputs(groups=2)
    repeated = [tensor.repeat_interleave(2, dim=1) for tensor in (k, v)]
    for mask in MASKS.values():
        grouped = run(KERNELS[name], mask, [q, k, v], Scoring(0.3))[0]
        torch.testing.assert_close(grouped, run(KERNELS[name], mask, [q, *repeated], Scoring(0.3))[0])


@pytest.mark.parametrize("name", [name for name, kernel in KERNELS.items() if "cap" in kernel.features])
def test_a_wide_cap_is_none(name: str) -> None:
    tensors = inputs()
    plain = run(KERNELS[name], MASKS["causal"], tensors, Scoring(0.3))
    assert_close(run(KERNELS[name], MASKS["causal"], tensors, Scoring(0.3, cap=1e7)), plain, 1e-11)
    capped = run(KERNELS[name], MASKS["causal"], tensors, Scoring(0.3, cap=0.1))
    assert (capped[0] - plain[0]).abs().max() > 0.01


@pytest.mark.parametrize("name", [name for name, kernel in KERNELS.items() if "cap" in kernel.features])
def test_cap_bounds_scores(name: str) -> None:
    """With scores within ±cap, no weight is below e^(−2 cap) / S."""
    q, k, _ = (tensor.detach() * 100 for tensor in inputs())
    one_hot = torch.eye(S, K, dtype=q.dtype).expand(B, H, S, K)
    prepared = KERNELS[name].prepare(Request(AttentionMask(), None, S, torch.empty(B, T, 1)))
    weights = KERNELS[name].attend(q, k, one_hot, prepared, Scoring(1.0, cap=0.5))[..., :S]
    torch.testing.assert_close(weights.sum(-1), torch.ones(B, H, T, dtype=q.dtype))
    assert weights.min() >= math.exp(-1.0) / S


@pytest.mark.parametrize("name", [name for name, kernel in KERNELS.items() if "dropout" in kernel.features])
def test_dropout(name: str) -> None:
    """It keeps the mean, and what is kept is scaled up."""
    q, k, v = torch.zeros(1, 1, 1, K).double(), torch.zeros(1, 1, 4000, K).double(), torch.ones(1, 1, 4000, K).double()
    prepared = KERNELS[name].prepare(Request(AttentionMask(), None, 4000, torch.empty(1, 1, 1)))
    dropped = KERNELS[name].attend(q, k, v, prepared, Scoring(1.0, dropout=0.25))
    assert 0 < (dropped - 1).abs().max() < 0.05
    kept = KERNELS[name].attend(q, k, v, prepared, Scoring(1.0))
    torch.testing.assert_close(kept, torch.ones_like(kept))


@pytest.mark.parametrize("name", KERNELS)
def test_autocast(name: str) -> None:
    """A bias in float32 beside queries in bfloat16, as under autocast."""
    q, k, v = inputs(dtype=torch.bfloat16)
    bias = torch.randn(1, H, T, S)
    prepared = KERNELS[name].prepare(Request(MASKS["causal documents"], bias, S, torch.empty(B, T, 1)))
    out = KERNELS[name].attend(q, k, v, prepared, Scoring(0.3))
    assert out.dtype == torch.bfloat16
    exact = [tensor.detach().double() for tensor in (q, k, v)]
    prepared = KERNELS["reference"].prepare(Request(MASKS["causal documents"], bias.double(), S, torch.empty(B, T, 1)))
    torch.testing.assert_close(
        out.double(), KERNELS["reference"].attend(*exact, prepared, Scoring(0.3)), rtol=0, atol=0.03
    )
