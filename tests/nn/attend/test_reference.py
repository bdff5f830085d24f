"""The reference is the formula, written out query by query."""

import itertools

import pytest
import torch
from torch import Tensor

from tests.nn.attend.cases import BIASES, MASKS, H, S, T, assert_close, gradients, inputs, run
from zoo.nn.attend import KERNELS, Scoring
from zoo.nn.mask import AttentionMask


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
