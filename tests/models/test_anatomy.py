"""Parts, layers and cost of a model, without its weights."""

from dataclasses import fields

import pytest
import torch
from torch import nn

from zoo.config import load_config
from zoo.config_text import read_overrides
from zoo.models import ModelConfig
from zoo.models.anatomy import changes, cost_rows, empty_model, layer_rows, part_rows, place, ranges, stacks
from zoo.models.create import create_model, model_config
from zoo.models.presets import PRESETS
from zoo.nn.attention import MultiHeadAttentionConfig
from zoo.nn.feed_forward import GatedFeedForwardConfig
from zoo.nn.layer import LayerConfig
from zoo.nn.parallel_block import ParallelBlockConfig
from zoo.nn.stack import StackConfig


@pytest.mark.parametrize("name", PRESETS)
def test_parts_add_up(name: str) -> None:
    model = empty_model(model_config(name))
    rows = part_rows(model)
    assert rows[-1][1] == model.num_parameters == PRESETS[name].parameters
    for depth in range(3):
        below = [row for row in rows[:-1] if len(row[0]) - len(row[0].lstrip()) == 2 * depth]
        if depth == 0:
            assert sum(count for _, count, _ in below) == model.num_parameters
        assert all(count >= 0 for _, count, _ in below)


def test_children_add_up_to_their_parent() -> None:
    rows = part_rows(empty_model(model_config("t5-nano")))
    labels = [label for label, _, _ in rows]
    counts = {label.strip(): count for label, count, _ in rows}
    first = labels.index("  blocks × 4")
    inside = [count for label, count, _ in rows[first + 1 :] if label.startswith("    ")][:2]
    assert sum(inside) == rows[first][1]
    assert counts["language_model"] == 0  # tied: its weight is counted where the tokens are


def test_place() -> None:
    name = "backbone.stack.blocks.13.feed_forward.sublayer.input.weight"
    assert place(name) == (("stack", "blocks", "feed_forward"), "13")
    assert place("backbone.embedding.tokens.weight") == (("embedding", "tokens"), "")
    assert place("heads.language_model.bias") == (("heads", "language_model"), "")


def test_layers_that_are_alike_stand_together() -> None:
    model = create_model("gpt-nano", dim=16, vocab_size=32, max_length=8)
    assert list(dict.fromkeys(row[0] for row in layer_rows(model))) == [
        "model",
        "embedding",
        "layers",
        "layers 0–3",
        "layers end",
        "head",
    ]
    stack = stacks(model)["layers"]
    stack.blocks[2].feed_forward.dropout = nn.Dropout(0.5)
    words = {(where, part): text for where, part, text in layer_rows(model)}
    assert {where for where, _ in words} == {
        "model",
        "embedding",
        "layers",
        "layers 0–1, 3",
        "layers 2",
        "layers end",
        "head",
    }
    assert "dropout 0.5" in words["layers 2", "feed_forward"]
    assert "dropout" not in words["layers 0–1, 3", "feed_forward"]


@pytest.mark.parametrize(
    "numbers, words",
    [
        ([0], "0"),
        ([0, 1], "0–1"),
        ([0, 2, 3, 4, 7], "0, 2–4, 7"),
        ([1, 3, 5], "1, 3, 5"),
        ([1, 4, 7, 10], "1, 4, … 10"),
        ([], ""),
    ],
)
def test_ranges(numbers: list[int], words: str) -> None:
    assert ranges(numbers) == words


def test_layers_are_numbered_as_in_the_setting() -> None:
    words = words_of(layers={"1::2": {"attention": {"window": 5}}})
    assert "window=5" in words["layers 1, 3", "set: attention"]
    assert ("layers 0, 2", "set: attention") not in words


def test_words_of_a_layer() -> None:
    llama = {part: words for _, part, words in layer_rows(empty_model(model_config("llama-nano")))}
    assert llama["self_attention"] == "4 heads × 32, 2 for keys and values; rms_norm before"
    assert llama["feed_forward"].startswith("gated silu, 128 → 344 → 128")
    t5 = [row[0] for row in layer_rows(empty_model(model_config("t5-nano")))]
    assert {"encoder 0–3", "decoder 0–3", "encoder end"} <= set(t5)
    norms = {"none": "no norm", "sandwich": "before and after", "post": "after the sum"}
    for placement, words in norms.items():
        assert words in words_of(placement=placement)["layers 0–3", "self_attention"]


def test_words_of_a_mixture() -> None:
    dense = {"feed_forward": "gated", "feed_forward_dim": 40}
    model = empty_model(model_config("gpt-nano", feed_forward="mixture", feed_forward_dim=24, layers={"0": dense}))
    words = [words for _, part, words in layer_rows(model) if part == "feed_forward"]
    assert words[0].startswith("gated silu, 128 → 40 → 128")
    assert words[1].startswith("8 experts, 2 for each token, each gated silu, 128 → 24 → 128")
    idle = 3 * 6 * (3 * 128 * 24 + 2 * 24 + 128)
    assert dict(cost_rows(model))["parameters active for a token"] == f"{model.num_parameters - idle:,}"
    assert cost_rows(empty_model(model_config("gpt-nano")))[0][0] == "training FLOPs a token"


def test_nothing_is_allocated() -> None:
    model = empty_model(model_config("gpt2", dim=12 * 4096, num_layers=96))
    assert all(parameter.device == torch.device("meta") for parameter in model.parameters())
    assert cost_rows(model)[0][1].endswith(" in rows of 1024")


def test_cost_of_a_token_is_six_for_each_weight_and_attention() -> None:
    config = model_config("gpt-nano")
    cost = dict(cost_rows(empty_model(config)))
    weights = 4 * 12 * config.dim**2
    attention = 4 * 2 * config.dim * config.max_length
    assert cost["training FLOPs a token"] == f"{6 * (weights + attention) / 1e6:.3g}M in rows of 128"
    assert cost["more for each scored token"] == f"{6 * 4096 * config.dim / 1e6:.3g}M"


def words_of(**changes: object) -> dict[tuple[str, str], str]:
    model = empty_model(model_config("gpt-nano", positions="rotary", **changes))
    return {(where, part): words for where, part, words in layer_rows(model)}


def test_words_of_layers_that_differ() -> None:
    words = words_of(layers={"-1": {"feed_forward_dim": 8, "positions": "none", "attention": {"window": 5}}})
    assert words["layers 0–2", "feed_forward"].startswith("plain gelu_tanh, 128 → 512 → 128")
    assert words["layers 3", "feed_forward"].startswith("plain gelu_tanh, 128 → 8 → 128")
    assert (words["layers 0–2", "set: positions"], words["layers 3", "set: positions"]) == ("rotary", "none")
    assert words["layers 3", "set: attention"] == "window=5"


def test_words_of_layers_that_share_their_weights() -> None:
    words = words_of(sharing={"kind": "cycle", "num_blocks": 2})
    assert words["layers", "weights"] == "shared (cycle): layers run blocks 0 1 0 1"
    assert ("layers 0–3", "self_attention") in words
    assert ("layers", "weights") not in words_of()


@pytest.mark.parametrize("shared_norm", [False, True])
def test_words_of_a_parallel_block(shared_norm: bool) -> None:
    words = words_of(block={"kind": "parallel", "shared_norm": shared_norm})
    assert words["layers 0–3", "set: block"].startswith("parallel")
    assert ("shared_norm" in words["layers 0–3", "set: block"]) == (shared_norm != ParallelBlockConfig().shared_norm)
    for part in ("self_attention", "feed_forward"):
        assert words["layers 0–3", part].endswith("; layer_norm before")
    assert words_of(block="parallel", placement="post")["layers 0–3", "feed_forward"].endswith("after the sum")


def test_words_of_what_is_outside_the_layers() -> None:
    assert [place for place in words_of() if place[0] == "model"] == [("model", "set: initialization")]
    assert ("head", "set: language_model") not in words_of()
    words = words_of(
        embedding={"scale": "sqrt_dim", "norm": True, "factorization": {"dim": 8}},
        heads={"language_model": {"cap": 30.0, "bias": True}},
        initialization={"kind": "small", "zero_output": True},
        vocab_multiple=64,
    )
    assert words["model", "set: embedding"] == (
        "factorization.dim=8, factorization.order=sum, factorization.bias=true, scale=sqrt_dim, norm=true"
    )
    assert words["model", "set: initialization"] == "small, zero_output=true"
    assert words["model", "set: vocab_multiple"] == "64"
    assert words["head", "set: language_model"] == "bias=true, cap=30.0"
    t5 = empty_model(model_config("t5-nano", share_tokens=False, heads={"language_model": {"tied": False}}))
    told = {(where, part): text for where, part, text in layer_rows(t5)}
    assert told["model", "set: share_tokens"] == "false"


def test_every_setting_of_a_whole_model_is_told() -> None:
    """A field that is added to a family is told of, or is named as one that the parts tell."""
    of_stacks = {field.name for field in fields(StackConfig)}
    told = {"embedding", "heads", "initialization", "vocab_multiple", "vocab_size", "decoder", "share_tokens"}
    for schema in ModelConfig.choices.values():
        assert {field.name for field in fields(schema)} - of_stacks <= told


def test_words_of_the_start_of_lambda() -> None:
    told = words_of(attention={"differential": {}})
    assert told["layers 0–3", "differential"] == "λ starts at 0.2 to 0.556"  # 0.8 − 0.6 · exp(−0.3 · layer)
    told = words_of(attention={"differential": {"lambda_init": 0.5}})
    assert told["layers 0–3", "differential"] == "λ starts at 0.5"


def test_a_norm_that_sees_the_future_is_told_of_where_the_stack_is_causal() -> None:
    words = words_of(norm="batch_norm")["layers", "note"]
    assert words.startswith("batch_norm normalizes by ")
    assert "in training this causal stack sees later tokens" in words
    assert ("layers", "note") in words_of(layers={"1": {"norm": "batch_norm"}})
    assert ("layers", "note") not in words_of()
    assert model_config("bert-nano", norm="batch_norm").leaks() == {}
    t5 = layer_rows(empty_model(model_config("t5-nano", norm="batch_norm")))
    assert [where for where, part, _ in t5 if part == "note"] == ["decoder"]


def test_words_of_sides_that_differ() -> None:
    model = empty_model(model_config("t5-nano", decoder={"num_layers": 1, "feed_forward_dim": 64}))
    words = {(where, part): text for where, part, text in layer_rows(model)}
    assert words["encoder 0–3", "feed_forward"].startswith("plain relu, 128 → 512 → 128")
    assert words["decoder 0", "feed_forward"].startswith("plain relu, 128 → 64 → 128")


# ------------------------------------------------------------------------------------------------------------- settings


def test_a_default_layer_has_no_changes() -> None:
    assert list(changes(LayerConfig(), LayerConfig())) == []


def test_a_default_field_is_told_of_beside_another_kind_only_if_it_was_changed() -> None:
    gated = LayerConfig(feed_forward=GatedFeedForwardConfig(bias=False))
    assert dict(changes(gated, LayerConfig())) == {"feed_forward": "gated", "feed_forward.bias": "false"}
    optional = LayerConfig(num_kv_heads=2, attention=MultiHeadAttentionConfig(window=0))
    assert dict(changes(optional, LayerConfig())) == {"num_kv_heads": "2", "attention.window": "0"}


def test_changes_are_settings_that_give_the_layer_back() -> None:
    """Every preset's layers, and one with much in it: what is told of them makes them again."""
    much = {"feed_forward": {"kind": "gated", "bias": False}, "norm": {"kind": "rms_norm", "eps": 1e-3}, "layers": {}}
    configs = [model_config(name) for name in PRESETS]
    configs.append(
        model_config("gpt-nano", attention={"query_key_norm": {"norm": "rms_norm"}, "cap": 5.0, "window": 3}, **much)
    )
    for config in configs:
        for layer in set(config.layer_configs()):
            told = [f"{key}={value}" for key, value in changes(layer, LayerConfig())]
            assert load_config(LayerConfig, [read_overrides(told)]).config == layer


# -------------------------------------------------------------------------------------------------------------- kernels


@pytest.fixture
def _no_accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.accelerator.current_accelerator", lambda check_available: None)


@pytest.mark.usefixtures("_no_accelerator")
def test_which_kernel_serves_a_layer_and_why() -> None:
    settings = {"dropout": {"attention": 0.0}, "layers": {"1": {"attention": {"cap": 5.0}}}}
    words = words_of(max_length=2048, **settings)
    plain = "sdpa is torch's fused kernel"
    assert words["layers 0, 2–3", "kernel, cpu float32"] == plain
    packed = f"{plain}; packed or padded rows: varlen computes nothing between documents"
    assert words["layers 0, 2–3", "kernel, cuda bfloat16"].startswith(packed)
    assert words_of(max_length=1024, **settings)["layers 0, 2–3", "kernel, cuda bfloat16"] == plain
    assert words["layers 1", "kernel, cpu float32"] == "reference can do everything, step by step; sdpa cannot do cap"
    assert words["layers 1", "kernel, cuda bfloat16"].startswith("flex has soft caps")


@pytest.mark.usefixtures("_no_accelerator")
def test_a_kernel_that_is_set_serves_or_says_why_not() -> None:
    words = words_of(attention={"kernel": "flex"})
    assert words["layers 0–3", "kernel, cpu float32"].startswith("flex has no gradients on CPUs")
    assert words["layers 0–3", "kernel, cuda bfloat16"] == "flex is what the config says"


def test_cross_attention_is_told_of_where_its_kernel_differs() -> None:
    model = empty_model(model_config("t5-nano", dropout={"attention": 0.0}, max_length=2048))
    words = {(where, part): text for where, part, text in layer_rows(model)}
    assert "packed or padded rows: varlen" in words["decoder 0–3", "kernel of cross_attention, cuda bfloat16"]
    assert words["decoder 0–3", "kernel, cuda bfloat16"] == "sdpa is torch's fused kernel; varlen cannot do bias"
    assert not [part for where, part in words if where == "encoder 0–3" and "cross" in part]


def test_on_a_machine_with_an_accelerator_it_is_what_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    for device, there in (("mps", {"mps float32", "cuda bfloat16"}), ("cuda", {"cuda bfloat16"})):
        monkeypatch.setattr("torch.accelerator.current_accelerator", lambda check_available, d=device: torch.device(d))
        assert {part.partition(", ")[2] for _, part in words_of() if part.startswith("kernel, ")} == there


@pytest.mark.parametrize(
    "changes, words",
    [
        ({}, "4096 entries, as wide as the model"),
        ({"vocab_size": 100, "vocab_multiple": 64}, "100 entries, padded to 128 rows, as wide as the model"),
        ({"embedding": {"factorization": {"dim": 8}}}, "4096 entries, 8 wide; a matrix brings the sum to the width"),
        (
            {"embedding": {"factorization": {"order": "tokens"}}},
            "4096 entries, 128 wide; a matrix brings the tok",
        ),
    ],
)
def test_words_of_the_token_table(changes: dict[str, object], words: str) -> None:
    assert words_of(**changes)["embedding", "tokens"].startswith(words)
