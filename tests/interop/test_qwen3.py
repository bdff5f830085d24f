"""Qwen3: what is particular to it. That it equals transformers is in test_parity.py."""

from typing import Any

import pytest
from transformers import Qwen3Config

from zoo.errors import ConfigError
from zoo.interop import read_config, write_config

PUBLISHED = {  # config.json of Qwen/Qwen3-0.6B
    "architectures": ["Qwen3ForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": 151643,
    "eos_token_id": 151645,
    "head_dim": 128,
    "hidden_act": "silu",
    "hidden_size": 1024,
    "initializer_range": 0.02,
    "intermediate_size": 3072,
    "max_position_embeddings": 40960,
    "max_window_layers": 28,
    "model_type": "qwen3",
    "num_attention_heads": 16,
    "num_hidden_layers": 28,
    "num_key_value_heads": 8,
    "rms_norm_eps": 1e-06,
    "rope_scaling": None,
    "rope_theta": 1000000,
    "sliding_window": None,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
    "transformers_version": "4.51.0",
    "use_cache": True,
    "use_sliding_window": False,
    "vocab_size": 151936,
}


def windows(**changes: Any) -> list[int | None]:
    config = read_config("qwen3", {**PUBLISHED, "num_hidden_layers": 4, **changes})
    return [layer.attention.window for layer in config.layer_configs()]


def test_published_config() -> None:
    config = read_config("qwen3", PUBLISHED)
    assert (config.positions.theta, config.layers) == (1_000_000.0, {})  # type: ignore[attr-defined]
    rebuilt = Qwen3Config(**write_config("qwen3", config))
    assert rebuilt.layer_types == ["full_attention"] * 28
    assert rebuilt.sliding_window is None


def test_the_layers_with_a_window() -> None:
    assert windows(use_sliding_window=True, sliding_window=8, max_window_layers=2) == [None, None, 7, 7]
    assert windows(use_sliding_window=True, sliding_window=8, max_window_layers=0) == [7] * 4
    assert windows(use_sliding_window=False, sliding_window=8, max_window_layers=0) == [None] * 4
    types = ["sliding_attention", "full_attention"] * 2
    assert windows(use_sliding_window=True, sliding_window=8, layer_types=types) == [7, None, 7, None]


@pytest.mark.parametrize(
    "field, value",
    [("layer_types", ["chunked_attention"] * 28), ("hidden_act", "relu6"), ("num_experts", 8)],
)
def test_fields_that_are_not_covered(field: str, value: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        read_config("qwen3", {**PUBLISHED, field: value})
    assert caught.value.key == field
