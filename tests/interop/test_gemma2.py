"""Gemma 2: what is particular to it. That it equals transformers is in test_parity.py."""

from typing import Any

import pytest

from zoo.config import build, merged, to_mapping
from zoo.errors import ConfigError
from zoo.interop import read_config, write_config
from zoo.models import ModelConfig

PUBLISHED = {  # config.json of google/gemma-2-2b
    "architectures": ["Gemma2ForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "attn_logit_softcapping": 50.0,
    "bos_token_id": 2,
    "cache_implementation": "hybrid",
    "eos_token_id": 1,
    "final_logit_softcapping": 30.0,
    "head_dim": 256,
    "hidden_act": "gelu_pytorch_tanh",
    "hidden_activation": "gelu_pytorch_tanh",
    "hidden_size": 2304,
    "initializer_range": 0.02,
    "intermediate_size": 9216,
    "max_position_embeddings": 8192,
    "model_type": "gemma2",
    "num_attention_heads": 8,
    "num_hidden_layers": 26,
    "num_key_value_heads": 4,
    "pad_token_id": 0,
    "query_pre_attn_scalar": 256,
    "rms_norm_eps": 1e-06,
    "rope_theta": 10000.0,
    "sliding_window": 4096,
    "torch_dtype": "float32",
    "use_cache": True,
    "vocab_size": 256000,
}


def test_published_config() -> None:
    config = read_config("gemma2", PUBLISHED)
    assert config.layers == {"0::2": {"attention": {"window": 4095}}}
    assert config.attention.scale.kind == "inverse_sqrt"
    written = write_config("gemma2", config)
    assert written["layer_types"] == ["sliding_attention", "full_attention"] * 13
    assert (written["sliding_window"], written["query_pre_attn_scalar"]) == (4096, 256)


@pytest.mark.parametrize("scalar", [*range(1, 300), 7.5])
def test_every_scalar_comes_back(scalar: float) -> None:
    config = read_config("gemma2", {**PUBLISHED, "query_pre_attn_scalar": scalar})
    assert write_config("gemma2", config)["query_pre_attn_scalar"] == pytest.approx(scalar, rel=1e-15)


def test_windows_said_in_another_way_are_the_same_model() -> None:
    config = read_config("gemma2", PUBLISHED)
    other = merged(to_mapping(config), {"attention": {"window": 4095}})
    other["layers"] = {"1::2": {"attention": {"window": None}}}
    assert write_config("gemma2", build(ModelConfig, other)) == write_config("gemma2", config)


def test_layers_that_differ_in_something_else_have_no_place() -> None:
    changed = merged(to_mapping(read_config("gemma2", PUBLISHED)), {"layers": {"3": {"num_kv_heads": 8}}})
    with pytest.raises(ConfigError, match=r"layers\.3\.num_kv_heads: gemma2 has no place for 8"):
        write_config("gemma2", build(ModelConfig, changed))


@pytest.mark.parametrize(
    "field, value",
    [("use_bidirectional_attention", True), ("hidden_activation", "relu6"), ("rope_scaling", {"type": "dynamic"})],
)
def test_fields_that_are_not_covered(field: str, value: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        read_config("gemma2", {**PUBLISHED, field: value})
    assert caught.value.key.split(".")[0] == field


def test_the_activation_is_written_as_its_own_files_spell_it() -> None:
    """Theirs computes the two spellings by different kernels, which round otherwise."""
    assert write_config("gemma2", read_config("gemma2", PUBLISHED))["hidden_activation"] == "gelu_pytorch_tanh"
    other = read_config("gemma2", {**PUBLISHED, "hidden_activation": "gelu_new"})
    assert other == read_config("gemma2", PUBLISHED)
