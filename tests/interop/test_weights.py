"""Weights both ways: nothing is lost, and everything that does not fit is named at once."""

import dataclasses

import pytest
import torch
from torch import Tensor

from zoo.errors import CheckpointError, ConfigError
from zoo.interop import ARCHITECTURES, from_zoo, read_config, to_zoo, write_config
from zoo.interop.attempt import attempt
from zoo.interop.weights import changed_weights, plan_of
from zoo.models import Model
from zoo.models.create import create_model

TINY = {"dim": 8, "num_layers": 2, "num_heads": 2, "num_kv_heads": None, "head_dim": None, "vocab_size": 11}
PRESETS = {"bert": "bert-nano", "gpt2": "gpt-nano", "llama": "llama-nano", "t5": "t5-nano"}


def tiny(architecture: str) -> Model:
    return create_model(PRESETS[architecture], **TINY, max_length=6, feed_forward_dim=12)


def foreign(architecture: str) -> tuple[dict[str, Tensor], dict[str, object]]:
    model = tiny(architecture)
    return from_zoo(architecture, model.state_dict(), model.config), write_config(architecture, model.config)


@pytest.mark.parametrize("architecture", PRESETS)
def test_ours_come_back(architecture: str) -> None:
    ours = tiny(architecture).state_dict()
    again = to_zoo(architecture, *foreign(architecture))
    assert again.keys() == ours.keys()
    assert all(torch.equal(again[name], ours[name]) for name in ours)


def test_very_many_that_do_not_fit_are_cut() -> None:
    weights, config = foreign("gpt2")
    extra = {f"extra{number}": torch.zeros(1) for number in range(500)}
    with pytest.raises(CheckpointError, match=r"extra19 and 480 more$") as caught:
        to_zoo("gpt2", weights | dict(sorted(extra.items(), key=lambda one: int(one[0][5:]))), config)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("architecture", PRESETS)
def test_each_weight_has_one_place(architecture: str) -> None:
    plan = plan_of(ARCHITECTURES[architecture], tiny(architecture).config)
    assert sorted(name for link in plan.links for name in link.ours) == sorted(plan.ours)
    assert len({link.foreign for link in plan.links}) == len(plan.links)
    assert not set(plan.foreign) & set(plan.foreign_copies)


def test_shared_weights_may_be_there_once_under_any_name() -> None:
    weights, config = foreign("t5")
    names = ["shared.weight", "encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "lm_head.weight"]
    complete = to_zoo("t5", weights, config)
    for kept in names:
        once = {name: tensor for name, tensor in weights.items() if name == kept or name not in names}
        assert to_zoo("t5", once, config).keys() == complete.keys()
    with pytest.raises(CheckpointError, match=r"missing: shared\.weight$"):
        to_zoo("t5", {name: tensor for name, tensor in weights.items() if name not in names}, config)


def test_everything_that_does_not_fit_is_named_at_once() -> None:
    weights, config = foreign("gpt2")
    del weights["transformer.h.1.ln_1.bias"], weights["transformer.wpe.weight"]
    weights["transformer.h.2.ln_1.bias"] = torch.zeros(8)
    weights["score.weight"] = torch.zeros(8)
    weights["transformer.ln_f.bias"] = torch.zeros(9)
    weights["lm_head.weight"] = torch.zeros(11, 8)
    with pytest.raises(CheckpointError) as caught:
        to_zoo("gpt2", weights, config)
    for part in (
        "missing: transformer.wpe.weight, transformer.h.1.ln_1.bias",
        "left over: transformer.h.2.ln_1.bias, score.weight",
        "wrong shape: transformer.ln_f.bias is (9,), not (8,)",
        "shared, yet not equal: transformer.wte.weight and lm_head.weight",
    ):
        assert part in str(caught.value)


def test_ours_are_checked_as_well() -> None:
    model = tiny("gpt2")
    weights = model.state_dict()
    weights["backbone.stack.extra"] = weights.pop("backbone.stack.norm.weight")
    with pytest.raises(
        CheckpointError, match=r"missing: backbone\.stack\.norm\.weight; left over: backbone\.stack\.extra"
    ):
        from_zoo("gpt2", weights, model.config)


@pytest.mark.parametrize("tied", [True, False])
def test_of_a_changed_config_spare_rows_go_and_zeros_come(tied: bool) -> None:
    changes = {"vocab_multiple": 8, "norm": {"bias": False}, "attention": {"key_bias": False}}
    model = create_model("gpt-nano", **TINY, **changes, heads={"language_model": {"tied": tied}}).bfloat16()
    weights, config = model.state_dict(), attempt("gpt2", model.config).config
    found = changed_weights(weights, model.config, config)
    expected = config.build_unset().bfloat16()
    expected.load_state_dict(found)  # all that it needs, and nothing else
    for name, tensor in found.items():
        assert tensor.dtype == torch.bfloat16
        if name in weights:
            assert torch.equal(tensor, weights[name][: len(tensor)])
        else:
            assert name.endswith(("norm.bias", "before.bias", "key.bias"))
            assert not tensor.any()
    assert found["backbone.embedding.tokens.weight"].shape == (11, 8)
    again = to_zoo("gpt2", from_zoo("gpt2", found, config), write_config("gpt2", config))
    assert all(torch.equal(again[name], tensor) for name, tensor in found.items())


def test_weights_of_another_config_are_not_changed() -> None:
    model = tiny("gpt2")
    config = attempt("gpt2", dataclasses.replace(model.config, vocab_multiple=8)).config
    weights = model.state_dict()
    assert changed_weights(weights, model.config, model.config) is weights
    other = dataclasses.replace(model.config, vocab_size=9)
    with pytest.raises(
        CheckpointError, match=r"wrong shape: backbone.embedding.tokens.weight is \(11, 8\), not \(9, 8\)"
    ):
        changed_weights(weights, other, config)


def test_a_model_that_has_no_place_there() -> None:
    model = create_model("gpt-nano", **TINY, positions={"kind": "alibi"})
    with pytest.raises(ConfigError, match=r"positions\.kind"):
        from_zoo("gpt2", model.state_dict(), model.config)


def test_layers_are_told_apart_by_number() -> None:
    config = read_config("llama", {**write_config("llama", tiny("llama").config), "num_hidden_layers": 12})
    links = {link.foreign: link.ours for link in plan_of(ARCHITECTURES["llama"], config).links}
    assert links["model.layers.11.mlp.up_proj.weight"] == (
        "backbone.stack.blocks.11.feed_forward.sublayer.input.weight",
    )


def test_dtypes_stay() -> None:
    weights, config = foreign("llama")
    low = {name: tensor.bfloat16() for name, tensor in weights.items()}
    assert {tensor.dtype for tensor in to_zoo("llama", low, config).values()} == {torch.bfloat16}
