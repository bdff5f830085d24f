"""Additive scores are Bahdanau's, in self- and cross-attention."""

import pytest
import torch

from tests.nn.test_attention import HEADS, B, D, M, S, T, attention, context, part
from zoo.nn.attention import MultiHeadAttentionConfig
from zoo.nn.linear import Depth
from zoo.nn.mask import AttentionMask
from zoo.nn.projection import AttentionShape
from zoo.nn.scale import ConstantScaleConfig
from zoo.nn.score import AdditiveScoreConfig, DotScoreConfig


@pytest.mark.parametrize("cross", [False, True])
def test_additive_scores(cross: bool) -> None:
    config = MultiHeadAttentionConfig(kernel="reference", score=AdditiveScoreConfig(), scale=ConstantScaleConfig())
    module = attention(config, memory_dim=M if cross else D)
    hidden = torch.randn(B, T, D, dtype=torch.float64)
    memory = torch.randn(B, S, M, dtype=torch.float64) if cross else hidden
    heads = []
    for h in range(HEADS.num_heads):
        q, k = part(module.project.query, hidden, h), part(module.project.key, memory, h // 2)
        scores = torch.tanh(q[:, :, None] + k[:, None]) @ module.scoring.score.weight[h]
        heads.append(scores.softmax(-1) @ part(module.project.value, memory, h // 2))
    expected = module.output(torch.cat(heads, dim=-1))
    found = module(hidden, context("reference", AttentionMask(), memory.shape[1]), memory if cross else None)
    torch.testing.assert_close(found, expected)


def test_only_additive_scores_have_weights() -> None:
    shape = AttentionShape(D, HEADS, D, Depth(1))
    assert not list(DotScoreConfig().build(shape.heads).parameters())
    assert [w.shape for w in AdditiveScoreConfig().build(shape.heads).parameters()] == [(HEADS.num_heads, 6)]
    assert AdditiveScoreConfig().features == {"additive": "score=additive"}
    assert not DotScoreConfig().features
