"""GPT-NeoX: what is particular to it. That it equals transformers is in test_parity.py."""

from typing import Any

import pytest
import torch
from transformers import GPTNeoXConfig

from tests.interop.parity import foreign_config, oracle, our_config, our_weights, saved_weights
from zoo.config import build, merged, to_mapping
from zoo.errors import ConfigError
from zoo.interop import read_config, to_zoo, write_config
from zoo.models import ModelConfig

PYTHIA = {  # config.json of EleutherAI/pythia-160m
    "architectures": ["GPTNeoXForCausalLM"],
    "bos_token_id": 0,
    "eos_token_id": 0,
    "hidden_act": "gelu",
    "hidden_size": 768,
    "initializer_range": 0.02,
    "intermediate_size": 3072,
    "layer_norm_eps": 1e-05,
    "max_position_embeddings": 2048,
    "model_type": "gpt_neox",
    "num_attention_heads": 12,
    "num_hidden_layers": 12,
    "rotary_emb_base": 10000,
    "rotary_pct": 0.25,
    "tie_word_embeddings": False,
    "torch_dtype": "float16",
    "transformers_version": "4.24.0",
    "use_cache": True,
    "use_parallel_residual": True,
    "vocab_size": 50304,
}


SMALL = {"hidden_size": 32, "num_attention_heads": 2, "num_hidden_layers": 2, "intermediate_size": 64}


def test_fused_projections_are_cut_head_by_head() -> None:
    fused = oracle("gpt_neox").state_dict()["gpt_neox.layers.1.attention.query_key_value.weight"]
    for index, part in enumerate(("query", "key", "value")):
        ours = our_weights("gpt_neox")[f"backbone.stack.blocks.1.self_attention.sublayer.project.{part}.weight"]
        assert torch.equal(ours, fused.reshape(3, 3, 7, 21)[:, index].reshape(21, 21))


def test_published_config() -> None:
    config = read_config("gpt_neox", PYTHIA)
    assert (config.block.kind, config.positions.width, config.positions.theta) == ("parallel", 16, 10_000.0)  # type: ignore[attr-defined]
    assert write_config("gpt_neox", config)["rope_parameters"] == GPTNeoXConfig(**PYTHIA).rope_parameters


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"rotary_emb_base": 20_000.0, "rope_theta": 20_000.0},  # as transformers 4.5x wrote both
        {"rotary_pct": 0.5, "partial_rotary_factor": 0.5},
        {"rope_theta": 10_000, "partial_rotary_factor": None},
        {"rope_parameters": {"rope_theta": 500.0, "partial_rotary_factor": 1.0}},
        {"rotary_pct": 0.5, "rope_scaling": {"rope_type": "linear", "factor": 2.0}},
    ],
)
def test_what_rotates_is_read_as_theirs_does(given: dict[str, Any]) -> None:
    ours, theirs = read_config("gpt_neox", {**SMALL, **given}), GPTNeoXConfig(**SMALL, **given).rope_parameters
    assert write_config("gpt_neox", ours)["rope_parameters"] == theirs


@pytest.mark.parametrize(
    "given, key, holds",
    [
        ({"rotary_emb_base": 20_000, "rope_theta": 500.0}, "rope_theta", "20000"),
        ({"rope_theta": 500.0}, "rope_theta", "10000.0"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor", "0.25"),
        ({"rope_parameters": {"rope_theta": 300.0}, "rope_theta": 500.0}, "rope_theta", "300.0"),
        ({"rope_parameters": {"rope_theta": 300.0}, "rotary_emb_base": 500.0}, "rotary_emb_base", "300.0"),
    ],
)
def test_what_theirs_never_reads_may_only_repeat_what_holds(given: dict[str, Any], key: str, holds: str) -> None:
    with pytest.raises(ConfigError, match=holds) as caught:
        read_config("gpt_neox", {**SMALL, **given})
    assert caught.value.key == key


def test_one_norm_for_both_has_no_place() -> None:
    changed = merged(to_mapping(our_config("gpt_neox")), {"block": {"shared_norm": True}})
    with pytest.raises(ConfigError, match=r"block\.shared_norm"):
        write_config("gpt_neox", build(ModelConfig, changed))


def test_causal_masks_and_tables_are_no_weights() -> None:
    extra = {
        f"gpt_neox.layers.{layer}.attention.{name}": torch.ones(1)
        for layer in range(3)
        for name in ("bias", "masked_bias", "rotary_emb.inv_freq")
    }
    assert to_zoo("gpt_neox", saved_weights("gpt_neox") | extra, foreign_config("gpt_neox"))


@pytest.mark.parametrize(
    "field, value",
    [("hidden_act", "mish"), ("rope_scaling", {"type": "dynamic", "factor": 2.0}), ("gpt_j_residual", True)],
)
def test_fields_that_are_not_covered(field: str, value: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        read_config("gpt_neox", {**PYTHIA, field: value})
    assert caught.value.key.split(".")[0] == field
