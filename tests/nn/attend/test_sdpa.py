"""torch's kernel is told what it can do itself, and handed a tensor for the rest."""

import pytest
import torch

from tests.nn.attend.cases import DOCUMENTS, MASKS, B, H, S, T, assert_close, gradients, inputs
from zoo.nn.attend import KERNELS, Request, Scoring
from zoo.nn.mask import AttentionMask


@pytest.mark.parametrize("name", MASKS)
def test_a_mask_becomes_a_tensor_only_where_it_must(name: str) -> None:
    prepared = KERNELS["sdpa"].prepare(Request(MASKS[name], None, S, torch.empty(B, T, 1)))
    assert prepared.causal == (name == "causal")
    assert (prepared.mask is None) == (name in ("causal", "everything"))


def test_a_causal_flag_would_be_wrong_for_the_last_queries_of_a_row() -> None:
    """torch aligns it to the first key."""
    prepared = KERNELS["sdpa"].prepare(Request(MASKS["causal"], None, S, torch.empty(B, T - 1, 1)))
    assert not prepared.causal


def test_bias_and_mask_are_one_tensor() -> None:
    bias = torch.randn(1, H, T, S)
    prepared = KERNELS["sdpa"].prepare(Request(MASKS["causal"], bias, S, torch.empty(B, T, 1)))
    visible = torch.ones(T, S).tril().bool()
    assert prepared.mask is not None
    assert (prepared.mask[0][:, ~visible] == -torch.inf).all()
    assert torch.equal(prepared.mask[0][:, visible], bias[0][:, visible])


LAST = {
    "everything": AttentionMask(causal=True, offset=S - 1),
    "window": AttentionMask(causal=True, window=(2, 2), offset=S - 1),
    "documents": AttentionMask(True, None, DOCUMENTS[:, -1:], DOCUMENTS, offset=S - 1),
    "not the last": AttentionMask(causal=True, offset=2),
}


@pytest.mark.parametrize("sinks", [False, True])
@pytest.mark.parametrize("bias", [None, (1, H, 1, S), (B, H, 1, S)], ids=str)
@pytest.mark.parametrize("name", LAST)
@pytest.mark.parametrize("groups", [1, 2])
def test_a_single_query_of_heads_that_share_keys(
    groups: int, name: str, bias: tuple[int, ...] | None, sinks: bool
) -> None:
    q, *rest = inputs(groups, bias)
    tensors = [q[:, :, :1], *rest]
    scoring = Scoring(0.3, sinks=torch.tensor([0.5, -1.0, 0.0, 2.0], dtype=torch.float64) if sinks else None)
    results = []
    for kernel in (KERNELS["sdpa"], KERNELS["reference"]):
        asked = Request(LAST[name], rest[2] if bias else None, S, torch.empty(B, 1, 1), scoring.features)
        out = kernel.attend(*tensors[:3], kernel.prepare(asked), scoring)
        results.append([out, *gradients(out, [q, *rest])])
    assert_close(*results, 1e-12)
