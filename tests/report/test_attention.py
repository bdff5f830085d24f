"""Attention weights of a model."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.tiny import tiny_run
from zoo.errors import CheckpointError
from zoo.models.create import create_model
from zoo.report.attention import MOST_HEADS, MOST_LAYERS, attention_heads, attention_of, some
from zoo.tokenizer.train import TokenizerConfig

SIZE = {"dim": 16, "num_heads": 2, "feed_forward_dim": 32, "max_length": 40}
EXCERPT = list(range(60, 72))


def tokenizer(family: str):
    return TokenizerConfig.choice("bytes")(special_tokens=family).train(())


def heads_of(preset: str, family: str, **changes):
    tokens = tokenizer(family)
    model = create_model(preset, vocab_size=tokens.vocab_size, **{**SIZE, "num_layers": 2, **changes})
    return attention_heads(model, tokens, EXCERPT)


def assert_weights(weights_HTS: np.ndarray) -> None:
    assert np.isfinite(weights_HTS).all()
    assert (weights_HTS >= 0).all()
    np.testing.assert_allclose(weights_HTS.sum(-1), 1, atol=1e-5)


def test_encoder_looks_both_ways_from_frame_to_frame() -> None:
    layers = heads_of("bert-nano", "bert")
    assert [(one.stack, one.kind, one.layer) for one in layers] == [
        ("layers", "self_attention", 0),
        ("layers", "self_attention", 1),
    ]
    for one in layers:
        assert_weights(one.weights_HTS)
        assert one.weights_HTS.shape == (2, 14, 14)
        assert (np.triu(one.weights_HTS, 1) > 0).any()
        assert (one.queries[0], one.queries[-1]) == ("[CLS]", "[SEP]")


@pytest.mark.parametrize("positions", ["learned", "rotary", "alibi"])
def test_decoder_looks_back_only(positions: str) -> None:
    for one in heads_of("gpt-nano", "gpt", positions={"kind": positions}):
        assert_weights(one.weights_HTS)
        assert (np.triu(one.weights_HTS, 1) == 0).all()


def test_window_is_seen() -> None:
    for one in heads_of("gpt-nano", "gpt", attention={"window": 2}):
        assert (np.tril(one.weights_HTS, -3) == 0).all()


def test_encoder_decoder_has_three_attentions() -> None:
    layers = heads_of("t5-nano", "t5", head_dim=8)
    assert list(dict.fromkeys((one.stack, one.kind) for one in layers)) == [
        ("encoder", "self_attention"),
        ("decoder", "self_attention"),
        ("decoder", "cross_attention"),
    ]
    for one in layers:
        assert_weights(one.weights_HTS)
        assert one.weights_HTS.shape[1:] == (len(one.queries), len(one.keys))
    assert "<extra_id_0>" in layers[0].queries
    assert "<extra_id_0>" in layers[-1].queries


@pytest.mark.parametrize(
    "changes",
    [
        {"num_kv_heads": 1},
        {"attention": {"cap": 5.0, "sinks": {"kind": "learned"}}},
        {"attention": {"differential": {}}},
        {"attention": {"kind": "latent"}},
        {"attention": {"score": {"kind": "additive"}}},
        {"block": {"kind": "parallel"}},
        {"sharing": {"kind": "all"}},
    ],
    ids=str,
)
def test_every_kind_of_attention_has_weights(changes: dict) -> None:
    layers = heads_of("gpt-nano", "gpt", **changes)
    assert [one.layer for one in layers] == [0, 1]
    for one in layers:
        assert np.isfinite(one.weights_HTS).all()
        assert (one.weights_HTS.sum(-1) < 1 + 1e-5).all()


def test_weights_are_those_of_the_formula() -> None:
    """Against the softmax written out, for a model without positions whose queries and keys are at hand."""
    tokens = tokenizer("gpt")
    model = create_model(
        "gpt-nano", vocab_size=tokens.vocab_size, positions={"kind": "none"}, **{**SIZE, "num_layers": 1}
    ).eval()
    (one,) = attention_heads(model, tokens, EXCERPT)
    ids = torch.tensor([[tokens.roles["begin"], *EXCERPT]])
    block = model.backbone.stack.blocks[0].self_attention
    hidden = block.before(model.backbone.embedding(ids, torch.arange(ids.shape[1])[None], None, lambda x, _: x))
    q, k, _ = block.sublayer.project(hidden, hidden)
    scores = (q @ k.transpose(-1, -2)) / 8**0.5
    causal = torch.ones(scores.shape[-2:]).tril().bool()
    expected = torch.softmax(scores.masked_fill(~causal, -torch.inf), -1)[0]
    np.testing.assert_allclose(one.weights_HTS, expected.detach().numpy(), atol=1e-6)


def test_some_layers_and_heads() -> None:
    layers = heads_of("gpt-nano", "gpt", num_layers=7, num_heads=8, dim=32)
    assert [one.layer for one in layers] == [0, 2, 4, 6]
    assert all(len(one.numbers) == MOST_HEADS == len(one.weights_HTS) for one in layers)
    assert (some(3, 4), some(12, 4), len(some(100, 4))) == ([0, 1, 2], [0, 4, 7, 11], MOST_LAYERS)


def test_large_weights_are_left_alone_at_the_end_of_a_run(tmp_path: Path) -> None:
    from zoo.training.run import pretrain

    run = pretrain(tiny_run(tmp_path, "gpt", "trainer.max_steps=1"), tmp_path / "run").folder
    assert attention_of(run, EXCERPT)
    with pytest.raises(CheckpointError, match="zoo report"):
        attention_of(run, EXCERPT, most_bytes=10)
    with pytest.raises(CheckpointError):
        attention_of(tmp_path, EXCERPT)
