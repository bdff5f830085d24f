"""torch's kernel is told what it can do itself, and handed a tensor for the rest."""

import pytest
import torch

from tests.nn.attend.cases import MASKS, B, H, S, T
from zoo.nn.attend import KERNELS, Request


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
