"""Packed rows as sequences: the same pairs see each other as in the dense mask, in the same order, and nothing is lost.

torch's kernel itself needs a CUDA device; on a CPU a plain loop that keeps its contract stands in for it.
"""

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.nn.attend.cases import MASKS, B, H, K, S, T, assert_close, inputs, run
from zoo.errors import ConfigError
from zoo.nn.attend import KERNELS, Demand, Request, Scoring
from zoo.nn.attend.automatic import RULES
from zoo.nn.attend.varlen import Sequences, VarlenKernel, _knows_groups, sequences
from zoo.nn.mask import AttentionMask

VARLEN = KERNELS["varlen"]
ABLE = {name: mask for name, mask in MASKS.items() if mask.prefix is None}
QUERIES = torch.tensor([[7, 7, 2, -1, 2, 5], [0, 0, 0, 0, 0, 0]])
KEYS = torch.tensor([[2, 7, 7, 3, -1, 2], [1, 1, 1, -1, 0, 1]])
APART = torch.tensor([[0, 1, 0, 1, -1, -1], [2, 2, 2, 2, 2, 2]])
HOLE = torch.tensor([[0, 0, -1, 0, 0, 0]] * B)
ABLE |= {
    "memory": AttentionMask(query_documents=QUERIES, key_documents=KEYS),
    "documents that are apart": AttentionMask(True, None, QUERIES, QUERIES),
    "window in documents": AttentionMask(True, None, QUERIES.sort().values, QUERIES.sort().values, (1, 0)),
    "two-sided window in documents": AttentionMask(False, None, QUERIES.sort().values, QUERIES.sort().values, (1, 2)),
}


def request(mask: AttentionMask, num_queries: int = T, num_keys: int = S) -> Request:
    return Request(mask, None, num_keys, torch.empty(B, num_queries, 1))


def pairs(found: Sequences, num_queries: int, num_keys: int) -> Tensor:
    """(B, T, S): which query and key are in one sequence and, by torch's contract, within the window."""
    visible = torch.zeros(B * num_queries, B * num_keys, dtype=torch.bool)
    for queries, keys in cut(found, found.query_places, found.key_places):
        place = torch.arange(len(queries))[:, None] + len(keys) - len(queries)
        visible[queries[:, None], keys[None, :]] = within(found.window, place - torch.arange(len(keys))[None, :])
    whole = visible.view(B, num_queries, B, num_keys)
    assert not any(whole[one, :, other].any() for one in range(B) for other in range(B) if one != other)
    return torch.stack([whole[row, :, row] for row in range(B)])


def cut(found: Sequences, queries: Tensor, keys: Tensor) -> list[tuple[Tensor, Tensor]]:
    """What lies between the starts, sequence by sequence."""
    starts = [found.query_starts.tolist(), found.key_starts.tolist()]
    assert [side[0] for side in starts] == [0, 0]
    assert [side[-1] for side in starts] == [len(queries), len(keys)]
    borders = [itertools.pairwise(side) for side in starts]
    return [(queries[slice(*one)], keys[slice(*other)]) for one, other in zip(*borders, strict=True)]


def within(window: tuple[int, int], distance: Tensor) -> Tensor:
    """Whether keys that far before the query are within (left, right), −1: no limit."""
    left, right = window
    seen = torch.ones_like(distance, dtype=torch.bool)
    seen = seen if left < 0 else seen & (distance <= left)
    return seen if right < 0 else seen & (-distance <= right)


@pytest.mark.parametrize("name", ABLE)
def test_sequences_are_the_dense_mask(name: str) -> None:
    mask = ABLE[name]
    found = sequences(request(mask))
    dense = mask.dense(T, S, torch.device("cpu"))
    expected = torch.ones(B, T, S).bool() if dense is None else dense[:, 0].expand(B, T, S)
    assert torch.equal(pairs(found, T, S), expected)
    assert found.query_starts.dtype == found.key_starts.dtype == torch.int32
    lengths = [side.diff().tolist() for side in (found.query_starts, found.key_starts)]
    assert found.longest == tuple(max(side, default=0) for side in lengths)
    assert all(length > 0 for side in lengths for length in side)


def test_padding_is_dropped() -> None:
    found = sequences(request(MASKS["documents"]))
    documents = MASKS["documents"].query_documents
    assert documents is not None
    assert sorted(found.query_places.tolist()) == (documents.flatten() >= 0).nonzero().flatten().tolist()
    assert found.query_starts.tolist() == [0, 3, 5, 6, 9]  # documents 0 and 3 of the first row, 0 and 1 of the second


@pytest.mark.parametrize("offset", [1, 2, T - 1])
@pytest.mark.parametrize("name", ["causal", "causal documents", "causal window", "documents that are apart"])
def test_the_last_queries_of_a_row(name: str, offset: int) -> None:
    mask = ABLE[name]
    late = None if mask.query_documents is None else mask.query_documents[:, offset:]
    part = AttentionMask(mask.causal, None, late, mask.key_documents, mask.window, offset)
    dense = part.dense(T - offset, S, torch.device("cpu"))
    visible = torch.ones(B, 1, T - offset, S, dtype=torch.bool) if dense is None else dense
    assert torch.equal(pairs(sequences(request(part, T - offset)), T - offset, S), visible[:, 0].expand(B, -1, -1))


def test_what_sequences_cannot_say_is_refused() -> None:
    said = r"attention\.kernel: kernel 'varlen' needs .* \(attention\.window\); use 'auto' or another kernel"
    for one_sided in (AttentionMask(causal=True), AttentionMask(window=(1, 1))):
        with pytest.raises(ConfigError, match="needs queries that are the last of the keys, not 4 from 0 on of 6"):
            VARLEN.require_data(request(one_sided, 4))
    for documents in (QUERIES, APART, HOLE):
        with pytest.raises(ConfigError, match=said):
            VARLEN.require_data(request(AttentionMask(True, None, documents, documents, (1, 1))))
        assert VARLEN.data_refusal(request(AttentionMask(True, None, documents, documents))) is None


def test_what_is_able_is_not_refused() -> None:
    assert all(VARLEN.data_refusal(request(mask)) is None for mask in ABLE.values())


def test_refused_are_the_documents_that_do_not_lie_together() -> None:
    """All rows of five places; what is not refused equals the dense mask."""
    for row in itertools.product((-1, 0, 1), repeat=5):
        documents = torch.tensor([row, row[::-1]])
        places = [[place for place, found in enumerate(row) if found == document] for document in (0, 1)]
        apart = any(own and own[-1] - own[0] >= len(own) for own in places)
        mask = AttentionMask(True, None, documents, documents, (1, 1))
        assert (VARLEN.data_refusal(request(mask, 5, 5)) is not None) == apart
        dense = mask.dense(5, 5, torch.device("cpu"))
        assert dense is not None
        assert apart or torch.equal(pairs(sequences(request(mask, 5, 5)), 5, 5), dense[:, 0])


def test_who_asks_for_it_by_name_is_told_before_it_runs(anywhere: VarlenKernel) -> None:
    with pytest.raises(ConfigError, match=r"attention\.kernel: .* lie together in their row"):
        anywhere.prepare(request(AttentionMask(True, None, APART, APART, (1, 1))))


@pytest.mark.parametrize("documents", [QUERIES, APART, HOLE], ids=["some", "alternating", "a hole"])
def test_the_automatic_kernel_takes_another_one_for_them(
    documents: Tensor, anywhere: VarlenKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(anywhere, "refusal", lambda demand: None)
    monkeypatch.setattr("zoo.nn.attend.automatic.RULES", (RULES[0]._replace(fits=lambda demand: True), *RULES[1:]))
    monkeypatch.setitem(KERNELS._entries, "varlen", anywhere)
    windowed = AttentionMask(True, None, documents, documents, (1, 1))
    assert KERNELS["auto"].pick(request(windowed)) is KERNELS["sdpa"]
    expected = run(KERNELS["reference"], windowed, inputs(), Scoring(0.3))
    assert_close(run(KERNELS["auto"], windowed, inputs(), Scoring(0.3)), expected, 1e-12)
    assert KERNELS["auto"].pick(request(replace(windowed, window=(None, None)))) is anywhere
    assert KERNELS["auto"].pick(request(ABLE["window in documents"])) is anywhere


# --------------------------------------------------------------------------------------------------------- the kernel


def looped(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    cu_seq_q: Tensor,
    cu_seq_k: Tensor,
    max_q: int,
    max_k: int,
    *,
    scale: float,
    window_size: tuple[int, int],
    enable_gqa: bool = False,
) -> Tensor:
    """What torch documents of varlen_attn, one sequence after the other; all heads are as wide and a multiple of 8."""
    assert query.shape[-1] == key.shape[-1] == value.shape[-1]
    assert query.shape[-1] % 8 == 0
    assert enable_gqa == (query.shape[1] != key.shape[1])
    places = torch.arange(len(query)), torch.arange(len(key))
    found = Sequences(*places, cu_seq_q, cu_seq_k, (max_q, max_k), window_size)
    out = torch.zeros_like(query)
    for queries, keys in cut(found, *places):
        assert len(queries) <= max_q
        assert len(keys) <= max_k
        q, k, v = (tensor.transpose(0, 1) for tensor in (query[queries], key[keys], value[keys]))
        k, v = (tensor.repeat_interleave(len(q) // len(tensor), dim=0) for tensor in (k, v))
        place = torch.arange(len(queries))[:, None] + len(keys) - len(queries)
        seen = within(window_size, place - torch.arange(len(keys))[None, :])
        weights = ((q @ k.mT) * scale).masked_fill(~seen, -torch.inf).softmax(-1)
        out = out.index_copy(0, queries, (weights @ v).transpose(0, 1))
    return out


@pytest.fixture
def anywhere(monkeypatch: pytest.MonkeyPatch) -> VarlenKernel:
    """The kernel on any device and in any precision, with a loop in the place of torch's kernel."""
    return with_kernel_of_torch(looped, monkeypatch)


def with_kernel_of_torch(attend: Callable[..., Tensor], monkeypatch: pytest.MonkeyPatch) -> VarlenKernel:
    monkeypatch.setattr("torch.nn.attention.varlen.varlen_attn", attend)
    monkeypatch.setattr("zoo.nn.attend.varlen._knows_groups", _knows_groups.__wrapped__)
    kernel = VarlenKernel()
    monkeypatch.setattr(kernel, "require", lambda demand: None)
    return kernel


@pytest.mark.parametrize("groups", [H, 2, 1])
@pytest.mark.parametrize("name", ABLE)
def test_gathered_and_laid_back(anywhere: VarlenKernel, name: str, groups: int) -> None:
    if name == "all padding":
        out = anywhere.attend(*inputs(groups), anywhere.prepare(request(ABLE[name])), Scoring(0.3))
        assert torch.equal(out, torch.zeros(B, H, T, K).double())
        return
    expected = run(KERNELS["reference"], ABLE[name], inputs(groups), Scoring(0.3))
    assert_close(run(anywhere, ABLE[name], inputs(groups), Scoring(0.3)), expected, 1e-12)


@pytest.mark.parametrize("groups", [H, 2, 1])
def test_a_torch_that_knows_no_groups_is_given_as_many_keys_as_queries(
    groups: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch 2.11."""

    def older(query: Tensor, key: Tensor, *places: Any, scale: float, window_size: tuple[int, int]) -> Tensor:
        assert query.shape[1] == key.shape[1]
        return looped(query, key, *places, scale=scale, window_size=window_size)

    kernel, mask = with_kernel_of_torch(older, monkeypatch), ABLE["causal documents"]
    expected = run(KERNELS["reference"], mask, inputs(groups), Scoring(0.3))
    assert_close(run(kernel, mask, inputs(groups), Scoring(0.3)), expected, 1e-12)


@pytest.mark.parametrize("width", [3, 8, 20])
def test_values_of_another_width(anywhere: VarlenKernel, width: int) -> None:
    q, k, _ = inputs()
    v = torch.randn(B, H, S, width, dtype=q.dtype)
    mask = MASKS["causal documents"]
    reference = KERNELS["reference"]
    found = anywhere.attend(q, k, v, anywhere.prepare(request(mask)), Scoring(0.3))
    torch.testing.assert_close(found, reference.attend(q, k, v, reference.prepare(request(mask)), Scoring(0.3)))


@pytest.mark.parametrize(
    "demand, said",
    [
        (Demand("cpu", torch.bfloat16), "runs on CUDA devices, not on 'cpu'"),
        (Demand("cuda", torch.float32), "bfloat16 or float16 .*, not in float32"),
        (Demand("cuda", torch.bfloat16, features=frozenset({"bias", "cap"})), "cannot do bias, cap"),
    ],
)
def test_refusals(demand: Demand, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        VARLEN.require(demand)


def test_a_call_on_a_cpu_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"attention.kernel: kernel 'varlen' runs on CUDA devices, not on 'cpu'"):
        VARLEN.prepare(request(MASKS["causal"]))


def test_old_devices_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    for capability, able in (((7, 5), False), ((8, 0), True), ((9, 0), True)):
        monkeypatch.setattr("torch.cuda.get_device_capability", lambda found=capability: found)
        assert (VARLEN.refusal(Demand("cuda", torch.bfloat16, masked=True)) is None) == able


@pytest.mark.gpu
@pytest.mark.parametrize("groups", [H, 2])
@pytest.mark.parametrize("name", [name for name in ABLE if name != "all padding"])
def test_torch_keeps_the_contract_on_a_gpu(name: str, groups: int) -> None:
    mask = ABLE[name]
    sides = [None if side is None else side.cuda() for side in (mask.query_documents, mask.key_documents)]
    on_gpu = AttentionMask(mask.causal, None, *sides, mask.window)
    tensors = [tensor.detach().cuda().bfloat16().requires_grad_() for tensor in inputs(groups)]
    hidden = torch.empty(B, T, 1, device="cuda", dtype=torch.bfloat16)
    out = VARLEN.attend(*tensors, VARLEN.prepare(Request(on_gpu, None, S, hidden)), Scoring(0.3))
    direction = torch.randn(out.shape, generator=torch.Generator().manual_seed(6)).to(out)
    found = [out, *torch.autograd.grad((out * direction).sum(), tensors)]
    exact = [tensor.detach().double().cpu().requires_grad_() for tensor in tensors]
    reference = KERNELS["reference"]
    expected = reference.attend(*exact, reference.prepare(request(mask)), Scoring(0.3))
    wanted = torch.autograd.grad((expected * direction.double().cpu()).sum(), exact)
    assert_close([tensor.cpu() for tensor in found], [expected, *wanted], 4e-2)
