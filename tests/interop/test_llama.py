"""Llama equals transformers' LlamaForCausalLM, and only with the right config."""

from typing import Any

import pytest
import torch
from transformers import LlamaConfig

from tests.interop.parity import foreign_config, oracle
from zoo.config import difference
from zoo.errors import ConfigError
from zoo.interop import read_config, to_zoo, write_config
from zoo.models.create import model_config

NAME = "llama"
NAMES = [NAME, "llama tied with biases and a padding row"]
PUBLISHED = {  # config.json of meta-llama/Llama-2-7b-hf
    "architectures": ["LlamaForCausalLM"],
    "bos_token_id": 1,
    "eos_token_id": 2,
    "hidden_act": "silu",
    "hidden_size": 4096,
    "initializer_range": 0.02,
    "intermediate_size": 11008,
    "max_position_embeddings": 4096,
    "model_type": "llama",
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "num_key_value_heads": 32,
    "pretraining_tp": 1,
    "rms_norm_eps": 1e-05,
    "rope_scaling": None,
    "tie_word_embeddings": False,
    "torch_dtype": "float16",
    "use_cache": True,
    "vocab_size": 32000,
}


LLAMA_3_2 = {  # config.json of meta-llama/Llama-3.2-1B
    **PUBLISHED,
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": 128000,
    "eos_token_id": 128001,
    "head_dim": 64,
    "hidden_size": 2048,
    "intermediate_size": 8192,
    "max_position_embeddings": 131072,
    "mlp_bias": False,
    "num_attention_heads": 32,
    "num_hidden_layers": 16,
    "num_key_value_heads": 8,
    "rope_scaling": {
        "factor": 32.0,
        "high_freq_factor": 4.0,
        "low_freq_factor": 1.0,
        "original_max_position_embeddings": 8192,
        "rope_type": "llama3",
    },
    "rope_theta": 500000.0,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
    "vocab_size": 128256,
}
LLAMA_3 = {  # config.json of meta-llama/Meta-Llama-3-8B
    **PUBLISHED,
    "attention_bias": False,
    "bos_token_id": 128000,
    "eos_token_id": 128001,
    "intermediate_size": 14336,
    "max_position_embeddings": 8192,
    "num_key_value_heads": 8,
    "rope_theta": 500000.0,
    "vocab_size": 128256,
}


def test_rotation_tables_are_no_weights() -> None:
    tables = {f"model.layers.{layer}.self_attn.rotary_emb.inv_freq": torch.ones(3) for layer in range(3)}
    assert to_zoo("llama", oracle(NAME).state_dict() | tables, foreign_config(NAME))


def test_published_config() -> None:
    """The style of the nano size is that of Llama 2."""
    size = {"dim": 4096, "num_layers": 32, "num_heads": 32, "num_kv_heads": 32, "feed_forward_dim": 11008}
    expected = model_config("llama-nano", **size, max_length=4096, vocab_size=32000)
    assert difference(expected, read_config("llama", PUBLISHED)) == []


def test_llama_3_and_3_2_are_llama() -> None:
    assert difference(model_config("llama-3.2-1b", head_dim=64), read_config("llama", LLAMA_3_2)) == []
    config = read_config("llama", LLAMA_3)
    assert (config.positions.theta, config.num_kv_heads) == (500_000.0, 8)  # type: ignore[attr-defined]


def test_preset_is_written_so_that_transformers_reads_it() -> None:
    written = LlamaConfig(**write_config("llama", model_config("llama-nano")))
    assert written.rope_parameters == {"rope_type": "default", "rope_theta": 10_000.0}
    again = read_config("llama", {**written.to_dict(), "architectures": ["LlamaForCausalLM"]})
    assert difference(model_config("llama-nano", head_dim=32), again) == []


def test_older_spellings_of_the_rotation() -> None:
    assert read_config("llama", {**PUBLISHED, "rope_theta": 500.0}).positions.theta == 500.0
    with pytest.raises(ConfigError, match="contradicts"):
        read_config("llama", {"rope_theta": 500.0, "rope_parameters": {"rope_theta": 600.0}})


@pytest.mark.parametrize(
    "field, value",
    [
        ("rope_scaling", {"type": "dynamic", "factor": 2.0}),
        ("rope_parameters", {"rope_type": "default", "rope_theta": 5e5, "partial_rotary_factor": 0.5}),
        ("partial_rotary_factor", 0.5),
        ("sliding_window", 4096),
        ("hidden_act", "relu2"),
    ],
)
def test_fields_that_are_not_covered(field: str, value: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        read_config("llama", {**PUBLISHED, field: value})
    assert caught.value.key.split(".")[0] == field
