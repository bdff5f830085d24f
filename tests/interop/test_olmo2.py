"""OLMo 2: what is particular to it. That it equals transformers is in test_parity.py."""

from typing import Any

import pytest
from transformers import Olmo2Config

from zoo.errors import ConfigError
from zoo.interop import read_config, write_config

PUBLISHED = {  # config.json of allenai/OLMo-2-1124-7B
    "architectures": ["Olmo2ForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "eos_token_id": 100257,
    "hidden_act": "silu",
    "hidden_size": 4096,
    "initializer_range": 0.02,
    "intermediate_size": 11008,
    "max_position_embeddings": 4096,
    "model_type": "olmo2",
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "num_key_value_heads": 32,
    "pad_token_id": 100277,
    "rms_norm_eps": 1e-06,
    "rope_scaling": None,
    "rope_theta": 500000,
    "tie_word_embeddings": False,
    "torch_dtype": "float32",
    "transformers_version": "4.47.0",
    "use_cache": False,
    "vocab_size": 100352,
}


def test_published_config() -> None:
    config = read_config("olmo2", PUBLISHED)
    assert (config.placement, config.attention.query_key_norm.over) == ("branch_output", "width")  # type: ignore[union-attr]
    rebuilt = Olmo2Config(**write_config("olmo2", config))
    assert read_config("olmo2", rebuilt.to_dict()).positions == config.positions


def test_one_eps_for_all_norms() -> None:
    norm = read_config("olmo2", {**PUBLISHED, "rms_norm_eps": 1e-3}).attention.query_key_norm
    assert norm is not None
    assert norm.norm.eps == 1e-3  # type: ignore[attr-defined]


@pytest.mark.parametrize("field, value", [("clip_qkv", 8.0), ("hidden_act", "mish"), ("sliding_window", 4)])
def test_fields_that_are_not_covered(field: str, value: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        read_config("olmo2", {**PUBLISHED, field: value})
    assert caught.value.key == field
