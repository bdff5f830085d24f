"""What scores may have beyond the scaled dot product, in every kernel that can do it: sinks, additive scores."""

import itertools
import math

import pytest
import torch
from torch import Tensor

from tests.nn.attend.cases import (
    BIASES,
    DIFFERENTIABLE,
    DOCUMENTS,
    MASKS,
    TOLERANCES,
    B,
    H,
    K,
    S,
    T,
    assert_close,
    gradients,
    inputs,
)
from zoo.nn.attend import KERNELS, Kernel, Request, Scoring
from zoo.nn.mask import AttentionMask

SINKS = torch.tensor([0.7, -1.3, 2.0, 0.0], dtype=torch.float64)
ABLE = {
    feature: [name for name in DIFFERENTIABLE if feature in KERNELS[name].features] for feature in ("sinks", "additive")
}


def run(kernel: Kernel, mask: AttentionMask, tensors: list[Tensor], sinks: Tensor) -> list[Tensor]:
    """Output and gradients, those of the sinks last."""
    q, k, v, *bias = tensors
    request = Request(mask, bias[0] if bias else None, S, torch.empty(B, T, 1, dtype=q.dtype), frozenset({"sinks"}))
    sinks = sinks.detach().to(q.dtype).requires_grad_()
    out = kernel.attend(q, k, v, kernel.prepare(request), Scoring(0.3, sinks=sinks))
    return [out, *gradients(out, [*tensors, sinks])]


def with_a_key_for_the_sink(mask: AttentionMask, tensors: list[Tensor]) -> Tensor:
    """The formula, query by query: one more exp in the denominator."""
    q, k, v, *bias = tensors
    visible = mask.dense(T, S, torch.device("cpu"))
    out = torch.zeros_like(q)
    for b, h, t in itertools.product(range(B), range(H), range(T)):
        group = h // (H // k.shape[1])
        scores = k[b, group] @ q[b, h, t] * 0.3
        if bias:
            scores = scores + bias[0][b % len(bias[0]), h, t]
        weights = scores.exp() if visible is None else scores.exp() * visible[b % len(visible), 0, t]
        out[b, h, t] = weights @ v[b, group] / (weights.sum() + math.exp(SINKS[h]))
    return out


@pytest.mark.parametrize("bias", BIASES.values(), ids=BIASES)
@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
@pytest.mark.parametrize("name", ABLE["sinks"])
def test_sinks_are_one_more_term_in_the_denominator(
    name: str, mask: AttentionMask, bias: tuple[int, ...] | None
) -> None:
    for groups in (H, 2):
        tensors = inputs(groups, bias)
        expected = with_a_key_for_the_sink(mask, tensors)
        out, *found = run(KERNELS[name], mask, tensors, SINKS)
        assert_close([out, *found[:-1]], [expected, *gradients(expected, tensors)], 1e-12)
        *_, by_sinks = run(KERNELS["reference"], mask, tensors, SINKS)
        assert_close([found[-1]], [by_sinks], 1e-12)
        for dtype, tolerance in TOLERANCES.items():
            rounded = [tensor.detach().to(dtype).requires_grad_() for tensor in tensors]
            exact = [tensor.detach().double().requires_grad_() for tensor in rounded]
            precise = run(KERNELS["reference"], mask, exact, SINKS.to(dtype).double())
            assert_close(run(KERNELS[name], mask, rounded, SINKS), precise, tolerance)


@pytest.mark.parametrize("name", ABLE["sinks"])
def test_without_weight_a_sink_changes_nothing(name: str) -> None:
    for mask in MASKS.values():
        q, k, v = inputs()
        prepared = KERNELS[name].prepare(Request(mask, None, S, torch.empty(B, T, 1), frozenset({"sinks"})))
        far = KERNELS[name].attend(q, k, v, prepared, Scoring(0.3, sinks=torch.full((H,), -1e4).double()))
        torch.testing.assert_close(far, KERNELS[name].attend(q, k, v, prepared, Scoring(0.3)))


@pytest.mark.parametrize("name", ABLE["sinks"])
def test_with_sinks_a_query_that_sees_nothing_still_yields_zeros(name: str) -> None:
    out, *grads = run(KERNELS[name], MASKS["causal documents"], inputs(dtype=torch.float32), SINKS)
    padding = (DOCUMENTS < 0)[:, None, :, None].expand_as(out)
    assert (out[padding] == 0).all()
    assert (out[~padding] != 0).all()
    assert all(gradient.isfinite().all() for gradient in grads)
    assert (grads[2][padding] == 0).all()


@pytest.mark.parametrize("name", ABLE["sinks"])
def test_with_sinks_the_last_queries_of_a_row_see_what_they_would_see_in_it(name: str) -> None:
    q, k, v = inputs()
    scoring = Scoring(0.3, sinks=SINKS)
    features = frozenset({"sinks"})
    whole = KERNELS[name].prepare(Request(MASKS["causal"], None, S, torch.empty(B, T, 1), features))
    full = KERNELS[name].attend(q, k, v, whole, scoring)
    for offset in (1, T - 1):
        part = AttentionMask(causal=True, offset=offset)
        prepared = KERNELS[name].prepare(Request(part, None, S, torch.empty(B, T - offset, 1), features))
        found = KERNELS[name].attend(q[:, :, offset:], k, v, prepared, scoring)
        torch.testing.assert_close(found, full[:, :, offset:])


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
@pytest.mark.parametrize("groups", [H, 2])
@pytest.mark.parametrize("name", ABLE["additive"])
def test_additive_scores_are_the_formula(name: str, mask: AttentionMask, groups: int) -> None:
    q, k, v = inputs(groups)
    vectors = torch.randn(H, K, dtype=torch.float64, requires_grad=True)
    prepared = KERNELS[name].prepare(Request(mask, None, S, torch.empty(B, T, 1), frozenset({"additive"})))
    found = KERNELS[name].attend(q, k, v, prepared, Scoring(0.3, additive=vectors))
    visible = mask.dense(T, S, torch.device("cpu"))
    expected = torch.zeros_like(q)
    for b, h, t in itertools.product(range(B), range(H), range(T)):
        group = h // (H // groups)
        scores = 0.3 * torch.stack([vectors[h] @ torch.tanh(q[b, h, t] + k[b, group, s]) for s in range(S)])
        seen = torch.ones(S, dtype=torch.bool) if visible is None else visible[b % len(visible), 0, t]
        if seen.any():
            expected[b, h, t] = scores[seen].softmax(-1) @ v[b, group][seen]
    if expected.requires_grad:
        tensors = [q, k, v, vectors]
        assert_close([found, *gradients(found, tensors)], [expected, *gradients(expected, tensors)], 1e-12)
    else:
        assert (found == 0).all()
