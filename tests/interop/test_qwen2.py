"""Qwen2: what is particular to it. That it equals transformers is in test_parity.py."""

from typing import Any

import pytest
from transformers import Qwen2Config

from zoo.errors import ConfigError
from zoo.interop import read_config, write_config

PUBLISHED = {  # config.json of Qwen/Qwen2.5-0.5B
    "architectures": ["Qwen2ForCausalLM"],
    "attention_dropout": 0.0,
    "bos_token_id": 151643,
    "eos_token_id": 151643,
    "hidden_act": "silu",
    "hidden_size": 896,
    "initializer_range": 0.02,
    "intermediate_size": 4864,
    "max_position_embeddings": 32768,
    "max_window_layers": 24,
    "model_type": "qwen2",
    "num_attention_heads": 14,
    "num_hidden_layers": 24,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-06,
    "rope_theta": 1000000.0,
    "sliding_window": 32768,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
    "transformers_version": "4.40.1",
    "use_cache": True,
    "use_sliding_window": False,
    "vocab_size": 151936,
}


def test_published_config() -> None:
    config = read_config("qwen2", PUBLISHED)
    biases = [getattr(config.attention, f"{name}_bias") for name in ("query", "key", "value", "output")]
    assert biases == [True, True, True, False]
    assert (config.positions.theta, config.layers) == (1_000_000.0, {})  # type: ignore[attr-defined]
    rebuilt = Qwen2Config(**write_config("qwen2", config))
    assert rebuilt.layer_types == ["full_attention"] * 24
    assert rebuilt.sliding_window is None


def test_the_layers_with_a_window() -> None:
    given = {**PUBLISHED, "use_sliding_window": True, "sliding_window": 8, "max_window_layers": 22}
    windows = [layer.attention.window for layer in read_config("qwen2", given).layer_configs()]  # type: ignore[attr-defined]
    assert windows == [None] * 22 + [7] * 2
    assert Qwen2Config(**given).layer_types == ["full_attention"] * 22 + ["sliding_attention"] * 2


@pytest.mark.parametrize("field, value", [("attention_bias", True), ("mlp_bias", False), ("use_mrope", True)])
def test_fields_that_are_not_covered(field: str, value: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        read_config("qwen2", {**PUBLISHED, field: value})
    assert caught.value.key == field
