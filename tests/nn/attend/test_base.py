"""Every kernel equals the reference: outputs and gradients, for every form of mask and bias, in every precision."""

import itertools
import math

import pytest
import torch

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
    inputs,
    run,
)
from zoo.errors import ConfigError
from zoo.nn.attend import KERNELS, Demand, Request, Scoring
from zoo.nn.mask import AttentionMask


@pytest.mark.parametrize("name", DIFFERENTIABLE)
@pytest.mark.parametrize("bias", BIASES.values(), ids=BIASES)
@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
def test_kernels_equal_the_reference(name: str, mask: AttentionMask, bias: tuple[int, ...] | None) -> None:
    for groups, (dtype, tolerance) in itertools.product((H, 2), TOLERANCES.items()):
        tensors = inputs(groups, bias, dtype)
        exact = [tensor.detach().double().requires_grad_() for tensor in tensors]
        expected = run(KERNELS["reference"], mask, exact, Scoring(0.3))
        assert_close(run(KERNELS[name], mask, tensors, Scoring(0.3)), expected, tolerance)


@pytest.mark.parametrize("name", DIFFERENTIABLE)
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


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_gradients_stay_inside_the_mask(name: str) -> None:
    for mask in MASKS.values():
        tensors = inputs(H, (B, H, T, S))
        *_, by_bias = run(KERNELS[name], mask, tensors, Scoring(0.3))
        visible = mask.dense(T, S, torch.device("cpu"))
        if visible is not None:
            assert (by_bias[~visible.expand_as(by_bias)] == 0).all()


@pytest.mark.parametrize("name", DIFFERENTIABLE)
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


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_grouped_heads_equal_repeated_ones(name: str) -> None:
    q, k, v = inputs(groups=2)
    repeated = [tensor.repeat_interleave(2, dim=1) for tensor in (k, v)]
    for mask in MASKS.values():
        grouped = run(KERNELS[name], mask, [q, k, v], Scoring(0.3))[0]
        torch.testing.assert_close(grouped, run(KERNELS[name], mask, [q, *repeated], Scoring(0.3))[0])


@pytest.mark.parametrize("name", [name for name in DIFFERENTIABLE if "cap" in KERNELS[name].features])
def test_a_wide_cap_is_none(name: str) -> None:
    tensors = inputs()
    plain = run(KERNELS[name], MASKS["causal"], tensors, Scoring(0.3))
    assert_close(run(KERNELS[name], MASKS["causal"], tensors, Scoring(0.3, cap=1e7)), plain, 1e-11)
    capped = run(KERNELS[name], MASKS["causal"], tensors, Scoring(0.3, cap=0.1))
    assert (capped[0] - plain[0]).abs().max() > 0.01


@pytest.mark.parametrize("name", [name for name in DIFFERENTIABLE if "cap" in KERNELS[name].features])
def test_cap_bounds_scores(name: str) -> None:
    """With scores within ±cap, no weight is below e^(−2 cap) / S."""
    q, k, _ = (tensor.detach() * 100 for tensor in inputs())
    one_hot = torch.eye(S, K, dtype=q.dtype).expand(B, H, S, K)
    scoring = Scoring(1.0, cap=0.5)
    prepared = KERNELS[name].prepare(Request(AttentionMask(), None, S, torch.empty(B, T, 1), scoring.features))
    weights = KERNELS[name].attend(q, k, one_hot, prepared, scoring)[..., :S]
    torch.testing.assert_close(weights.sum(-1), torch.ones(B, H, T, dtype=q.dtype))
    assert weights.min() >= math.exp(-1.0) / S


@pytest.mark.parametrize("name", [name for name in DIFFERENTIABLE if "dropout" in KERNELS[name].features])
def test_dropout(name: str) -> None:
    """It keeps the mean, and what is kept is scaled up."""
    q, k, v = torch.zeros(1, 1, 1, K).double(), torch.zeros(1, 1, 4000, K).double(), torch.ones(1, 1, 4000, K).double()
    prepared = KERNELS[name].prepare(Request(AttentionMask(), None, 4000, torch.empty(1, 1, 1)))
    dropped = KERNELS[name].attend(q, k, v, prepared, Scoring(1.0, dropout=0.25))
    assert 0 < (dropped - 1).abs().max() < 0.05
    kept = KERNELS[name].attend(q, k, v, prepared, Scoring(1.0))
    torch.testing.assert_close(kept, torch.ones_like(kept))


@pytest.mark.parametrize("name", DIFFERENTIABLE)
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


# --------------------------------------------------------------------------------------------------------- what it says


def test_a_demand_is_what_is_known_without_data() -> None:
    hidden = torch.empty(B, T, 1, dtype=torch.float64)
    bias = torch.zeros(1, H, T, S)
    plain = Demand("cpu", torch.float64, num_keys=S)
    assert Request(MASKS["causal"], None, S, hidden).demand() == plain
    assert Request(MASKS["window"], None, S, hidden).demand() == plain._replace(masked=True)
    assert Request(MASKS["documents"], None, S, hidden).demand() == plain._replace(masked=True)
    features = frozenset({"cap", "bias", "prefix"})
    asked = Request(MASKS["prefix"], bias, S, hidden, frozenset({"cap"})).demand()
    assert asked == plain._replace(features=features)
    with torch.no_grad():
        assert Request(MASKS["causal"], None, S, hidden).demand() == plain._replace(gradients=False)
    with torch.autocast("cpu", torch.bfloat16):
        assert Request(MASKS["causal"], None, S, hidden.float()).demand().dtype is torch.bfloat16
        assert Request(MASKS["causal"], None, S, hidden).demand().dtype is torch.float64


@pytest.mark.parametrize("name", KERNELS)
def test_a_kernel_refuses_what_it_cannot_do(name: str) -> None:
    kernel = KERNELS[name]
    assert kernel.name == name
    for device, dtype in (("cpu", torch.float64), ("cuda", torch.bfloat16)):
        able = Demand(device, dtype, gradients=False, features=kernel.features)
        if kernel.refusal(able) is not None:
            assert (name, device) == ("varlen", "cpu")
            continue
        for feature in sorted(KERNELS["reference"].features - kernel.features):
            demand = able._replace(features=frozenset({feature}))
            assert kernel.refusal(demand) == f"cannot do {feature}"
            with pytest.raises(ConfigError, match=f"attention.kernel: kernel '{name}' cannot do {feature}; use 'auto'"):
                kernel.require(demand)


def test_the_reference_can_do_everything() -> None:
    for _, kernel in KERNELS.items():
        assert kernel.features <= KERNELS["reference"].features


def test_what_the_request_did_not_say_is_not_left_out() -> None:
    """A kernel that was chosen for less than the scoring asks must not compute less."""
    q, k, v = inputs()
    auto = KERNELS["auto"]
    prepared = auto.prepare(Request(MASKS["causal"], None, S, torch.empty(B, T, 1)))
    with pytest.raises(AssertionError, match="did not say"):
        auto.attend(q, k, v, prepared, Scoring(0.3, cap=1.0))
