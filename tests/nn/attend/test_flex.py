"""flex_attention equals the reference: its forward on a CPU, its gradients where there is a CUDA device."""

import itertools

import pytest
import torch
from torch import Tensor

from tests.nn.attend.cases import BIASES, MASKS, TOLERANCES, B, H, K, S, T, assert_close, gradients, inputs
from zoo.errors import ConfigError
from zoo.nn.attend import KERNELS, Demand, Kernel, Request, Scoring
from zoo.nn.attend.flex import mask_function, score_function
from zoo.nn.mask import AttentionMask

FLEX = KERNELS["flex"]
SINKS = torch.tensor([0.7, -1.3, 2.0, 0.0], dtype=torch.float64)
CPU = torch.device("cpu")


def forward(kernel: Kernel, mask: AttentionMask, tensors: list[Tensor], scoring: Scoring) -> Tensor:
    q, k, v, *bias = tensors
    hidden = torch.empty(q.shape[0], q.shape[2], 1, dtype=q.dtype, device=q.device)
    prepared = kernel.prepare(Request(mask, bias[0] if bias else None, k.shape[2], hidden))
    return kernel.attend(q, k, v, prepared, scoring)


def plain(tensors: list[Tensor]) -> list[Tensor]:
    return [tensor.detach() for tensor in tensors]


@pytest.fixture
def _as_it_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """The functions are run and not traced first, which is what takes torch so long on a CPU."""
    monkeypatch.setattr("torch.nn.attention.flex_attention._FLEX_ATTENTION_DISABLE_COMPILE_DEBUG", True)


@pytest.mark.usefixtures("_as_it_is_written")
@pytest.mark.parametrize("bias", BIASES.values(), ids=BIASES)
@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
def test_forward_equals_the_reference(mask: AttentionMask, bias: tuple[int, ...] | None) -> None:
    for groups, dtype in itertools.product((H, 2), (torch.float64, torch.float32)):
        assert_equals_the_reference(mask, plain(inputs(groups, bias, dtype)))


@pytest.mark.filterwarnings("ignore:flex_attention called without")
@pytest.mark.parametrize("name, shape", [("everything", None), ("causal documents", (B, H, T, S)), ("prefix", None)])
def test_traced_forward_equals_the_reference(name: str, shape: tuple[int, ...] | None) -> None:
    """As torch runs it when nobody looks."""
    assert_equals_the_reference(MASKS[name], plain(inputs(2, shape)))


def assert_equals_the_reference(mask: AttentionMask, tensors: list[Tensor]) -> None:
    exact, dtype = [tensor.double() for tensor in tensors], tensors[0].dtype
    for cap, sinks in ((None, None), (0.7, SINKS)):
        expected = forward(KERNELS["reference"], mask, exact, Scoring(0.3, cap, sinks=sinks))
        found = forward(FLEX, mask, tensors, Scoring(0.3, cap, sinks=None if sinks is None else sinks.to(dtype)))
        assert found.dtype == dtype
        assert_close([found], [expected], TOLERANCES[dtype])


@pytest.mark.parametrize("name", MASKS)
def test_mask_function_is_the_dense_mask(name: str) -> None:
    for offset in (0, 2, T - 1):
        mask = MASKS[name]
        late = None if mask.query_documents is None else mask.query_documents[:, offset:]
        mask = AttentionMask(mask.causal, mask.prefix, late, mask.key_documents, mask.window, offset)
        function, dense = mask_function(mask, CPU), mask.dense(T - offset, S, CPU)
        rows, queries, keys = torch.meshgrid(torch.arange(B), torch.arange(T - offset), torch.arange(S), indexing="ij")
        seen = torch.ones(B, T - offset, S, dtype=torch.bool)
        found = seen if function is None else function(rows, torch.zeros_like(rows), queries, keys)
        assert torch.equal(found, seen if dense is None else dense[:, 0].expand(B, -1, -1))


def test_scores_change_only_where_it_is_asked() -> None:
    assert score_function(None, None) is None
    capped = score_function(2.0, None)
    assert capped is not None
    index = torch.tensor(1)
    assert capped(torch.tensor(3.0), index, index, index, index) == 2 * torch.tanh(torch.tensor(1.5))


@pytest.mark.usefixtures("_as_it_is_written")
def test_fewer_queries_than_keys() -> None:
    q, k, v = plain(inputs())
    for mask in (MASKS["causal"], MASKS["causal documents"], MASKS["prefix"], MASKS["causal window"]):
        full = forward(FLEX, mask, [q, k, v], Scoring(0.3))
        for offset in (1, T - 1):
            late = None if mask.query_documents is None else mask.query_documents[:, offset:]
            part = AttentionMask(mask.causal, mask.prefix, late, mask.key_documents, mask.window, offset)
            torch.testing.assert_close(forward(FLEX, part, [q[:, :, offset:], k, v], Scoring(0.3)), full[:, :, offset:])


@pytest.mark.usefixtures("_as_it_is_written")
@pytest.mark.parametrize("width", [3, 24])
def test_values_of_another_width(width: int) -> None:
    q, k, _ = plain(inputs())
    v = torch.randn(B, H, S, width, dtype=q.dtype)
    found = forward(FLEX, MASKS["causal documents"], [q, k, v], Scoring(0.3))
    expected = forward(KERNELS["reference"], MASKS["causal documents"], [q, k, v], Scoring(0.3))
    torch.testing.assert_close(found, expected)


@pytest.mark.usefixtures("_as_it_is_written")
def test_a_query_that_sees_nothing_yields_zeros() -> None:
    for sinks in (None, SINKS):
        for mask in (MASKS["documents"], MASKS["all padding"]):
            assert mask.query_documents is not None
            out = forward(FLEX, mask, plain(inputs()), Scoring(0.3, sinks=sinks))
            assert (out.transpose(1, 2)[mask.query_documents < 0] == 0).all()


@pytest.mark.usefixtures("_as_it_is_written")
def test_gradients_on_a_cpu_are_refused() -> None:
    said = "attention.kernel: kernel 'flex' has no gradients on CPUs.*use 'auto' or another kernel"
    for number in range(4):
        tensors = plain(inputs(bias=(1, H, T, S)))
        tensors[number].requires_grad_()
        with pytest.raises(ConfigError, match=said):
            forward(FLEX, MASKS["causal"], tensors, Scoring(0.3))
        with torch.no_grad():
            forward(FLEX, MASKS["causal"], tensors, Scoring(0.3))
    with pytest.raises(ConfigError, match=said):
        forward(FLEX, MASKS["causal"], plain(inputs()), Scoring(0.3, sinks=SINKS.clone().requires_grad_()))


@pytest.mark.parametrize(
    "demand, said",
    [
        (Demand("mps", torch.float32), "not on 'mps'"),
        (Demand("cpu", torch.float32), "no gradients on CPUs"),
        (Demand("cuda", torch.float64), "no float64"),
        (Demand("cuda", torch.float32, features=frozenset({"dropout"})), "cannot do dropout"),
    ],
)
def test_refusals(demand: Demand, said: str) -> None:
    refusal = FLEX.refusal(demand)
    assert refusal is not None
    assert said in refusal


def test_where_it_runs() -> None:
    assert FLEX.refusal(Demand("cpu", torch.float64, gradients=False, features=FLEX.features)) is None
    assert FLEX.refusal(Demand("cuda", torch.bfloat16, features=FLEX.features, masked=True)) is None


@pytest.mark.gpu
@pytest.mark.parametrize("bias", BIASES.values(), ids=BIASES)
@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
def test_gradients_equal_the_reference_on_a_gpu(mask: AttentionMask, bias: tuple[int, ...] | None) -> None:
    on_gpu = AttentionMask(
        mask.causal,
        *(None if part is None else part.cuda() for part in (mask.prefix, mask.query_documents, mask.key_documents)),
        mask.window,
    )
    for groups, cap in itertools.product((H, 2), (None, 0.7)):
        tensors = [tensor.detach().cuda().requires_grad_() for tensor in inputs(groups, bias, torch.float32)]
        exact = [tensor.detach().cpu().double().requires_grad_() for tensor in tensors]
        sinks = SINKS.float().cuda().requires_grad_()
        out = forward(FLEX, on_gpu, tensors, Scoring(0.3, cap, sinks=sinks))
        expected = forward(KERNELS["reference"], mask, exact, Scoring(0.3, cap, sinks=SINKS))
        direction = torch.ones_like(expected).cumsum(-1)
        found = torch.autograd.grad((out * direction.to(out)).sum(), tensors)
        wanted = torch.autograd.grad((expected * direction).sum(), exact)
        moved = [tensor.cpu() for tensor in (out, *found)]
        assert_close(moved, [expected, *wanted], 2e-2)  # TensorFloat-32 in the products


def test_every_tensor_has_a_place_in_the_gradient_of_the_reference() -> None:
    """What the GPU test compares with is itself no zero."""
    tensors = inputs(bias=(1, H, T, S))
    out = forward(KERNELS["reference"], MASKS["causal"], tensors, Scoring(0.3, 0.7, sinks=SINKS))
    assert all((gradient != 0).any() for gradient in gradients(out, tensors))
    assert out.shape[-1] == K
