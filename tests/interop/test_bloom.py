"""BLOOM: what is particular to it. That it equals transformers is in test_parity.py."""

from typing import Any

import pytest
from transformers import BloomConfig

from zoo.errors import ConfigError
from zoo.interop import read_config, write_config

PUBLISHED = {  # config.json of bigscience/bloom-560m
    "apply_residual_connection_post_layernorm": False,
    "architectures": ["BloomForCausalLM"],
    "attention_dropout": 0.0,
    "attention_softmax_in_fp32": True,
    "bias_dropout_fusion": True,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "hidden_dropout": 0.0,
    "initializer_range": 0.02,
    "layer_norm_epsilon": 1e-05,
    "masked_softmax_fusion": True,
    "model_type": "bloom",
    "n_embed": 1024,
    "n_inner": None,
    "n_layer": 24,
    "num_attention_heads": 16,
    "offset_alibi": 100,
    "pad_token_id": 3,
    "pretraining_tp": 1,
    "skip_bias_add": True,
    "skip_bias_add_qkv": False,
    "slow_but_exact": False,
    "unk_token_id": 0,
    "use_cache": True,
    "vocab_size": 250880,
}


def test_published_config() -> None:
    config = read_config("bloom", PUBLISHED)
    assert (config.dim, config.num_layers, config.num_heads, config.inner_dim) == (1024, 24, 16, 4096)
    rebuilt = BloomConfig(**write_config("bloom", config))
    assert (rebuilt.hidden_size, rebuilt.n_layer, rebuilt.n_head) == (1024, 24, 16)


def test_the_size_is_that_of_the_paper() -> None:
    """BLOOM-560M has 559 214 592 parameters (its model card)."""
    import torch

    with torch.device("meta"):
        assert read_config("bloom", PUBLISHED).build_unset().num_parameters == 559_214_592


@pytest.mark.parametrize(
    "other, name", [("n_embed", "hidden_size"), ("num_attention_heads", "n_head"), ("num_hidden_layers", "n_layer")]
)
def test_two_names_that_contradict_each_other(other: str, name: str) -> None:
    with pytest.raises(ConfigError, match=f"{other}: 32 contradicts {name}=16"):
        read_config("bloom", {other: 32, name: 16})
    assert read_config("bloom", {other: 32, name: 32}) == read_config("bloom", {name: 32})
    assert read_config("bloom", {"n_embed": None, "hidden_size": 32}).dim == 32  # as theirs reads it


@pytest.mark.parametrize(
    "field, value",
    [("apply_residual_connection_post_layernorm", True), ("n_inner", 17), ("attention_window", 4)],
)
def test_fields_that_are_not_covered(field: str, value: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        read_config("bloom", {**PUBLISHED, field: value})
    assert caught.value.key == field
