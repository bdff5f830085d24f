"""Parts, layers and cost of a model, without its weights."""

import pytest
import torch
from torch import nn

from zoo.cli.anatomy import cost_rows, empty_model, layer_rows, part_rows, place, stacks
from zoo.models.create import create_model, model_config
from zoo.models.presets import PRESETS


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
    assert [row[0] for row in layer_rows(model)] == ["layers", *["layers 1–4"] * 2, "layers end", "head"]
    stack = stacks(model)["layers"]
    stack.blocks[2].feed_forward.dropout = nn.Dropout(0.5)
    rows = layer_rows(model)
    assert [row[0] for row in rows[1:-2]] == ["layers 1–2"] * 2 + ["layers 3"] * 2 + ["layers 4"] * 2
    assert "dropout 0.5" in rows[4][2]


def test_words_of_a_layer() -> None:
    llama = {part: words for _, part, words in layer_rows(empty_model(model_config("llama-nano")))}
    assert llama["self_attention"] == "4 heads × 32, 2 for keys and values, kernel auto; rms_norm before"
    assert llama["feed_forward"].startswith("gated silu, 128 → 344 → 128")
    t5 = [row[0] for row in layer_rows(empty_model(model_config("t5-nano")))]
    assert {"encoder 1–4", "decoder 1–4", "encoder end"} <= set(t5)
    norms = {"none": "no norm", "sandwich": "before and after", "post": "after the sum"}
    for placement, words in norms.items():
        rows = layer_rows(empty_model(model_config("gpt-nano", placement=placement)))
        assert words in rows[1][2]


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
    assert words["layers 1–3", "feed_forward"].startswith("plain gelu_tanh, 128 → 512 → 128")
    assert words["layers 4", "feed_forward"].startswith("plain gelu_tanh, 128 → 8 → 128")
    assert words["layers 4", "self_attention"].startswith("4 heads × 32, kernel auto, window 5, positions none; ")


def test_words_of_layers_that_share_their_weights() -> None:
    words = words_of(sharing={"kind": "cycle", "num_blocks": 2})
    assert words["layers", "weights"] == "shared (cycle): layers run blocks 1 2 1 2"
    assert ("layers 1–4", "self_attention") in words
    assert ("layers", "weights") not in words_of()


@pytest.mark.parametrize("shared_norm", [False, True])
def test_words_of_a_parallel_block(shared_norm: bool) -> None:
    words = words_of(block={"kind": "parallel", "shared_norm": shared_norm})
    assert words["layers 1–4", "block"] == "parallel"
    for part in ("self_attention", "feed_forward"):
        assert words["layers 1–4", part].endswith("; layer_norm before")
    assert words_of(block="parallel", placement="post")["layers 1–4", "feed_forward"].endswith("after the sum")


def test_words_of_sides_that_differ() -> None:
    model = empty_model(model_config("t5-nano", decoder={"num_layers": 1, "feed_forward_dim": 64}))
    words = {(where, part): text for where, part, text in layer_rows(model)}
    assert words["encoder 1–4", "feed_forward"].startswith("plain relu, 128 → 512 → 128")
    assert words["decoder 1", "feed_forward"].startswith("plain relu, 128 → 64 → 128")
