"""Mistral: what is particular to it. That it equals transformers is in test_parity.py."""

from typing import Any

import pytest
from transformers import MistralConfig

from zoo.config import difference
from zoo.errors import ConfigError
from zoo.interop import read_config, write_config
from zoo.models.create import model_config

PUBLISHED = {  # config.json of mistralai/Mistral-7B-v0.1
    "architectures": ["MistralForCausalLM"],
    "bos_token_id": 1,
    "eos_token_id": 2,
    "hidden_act": "silu",
    "hidden_size": 4096,
    "initializer_range": 0.02,
    "intermediate_size": 14336,
    "max_position_embeddings": 32768,
    "model_type": "mistral",
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "num_key_value_heads": 8,
    "rms_norm_eps": 1e-05,
    "rope_theta": 10000.0,
    "sliding_window": 4096,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "transformers_version": "4.34.0.dev0",
    "use_cache": True,
    "vocab_size": 32000,
}


def test_published_config() -> None:
    """Llama 2 with grouped heads and a window."""
    size = {"dim": 4096, "num_layers": 32, "num_heads": 32, "num_kv_heads": 8, "feed_forward_dim": 14336}
    expected = model_config("llama-nano", **size, max_length=32768, vocab_size=32000, attention={"window": 4095})
    assert difference(expected, read_config("mistral", PUBLISHED)) == []
    assert MistralConfig(**write_config("mistral", read_config("mistral", PUBLISHED))).sliding_window == 4096


def test_later_models_have_no_window() -> None:
    config = read_config("mistral", {**PUBLISHED, "sliding_window": None})
    assert config.attention.window is None  # type: ignore[attr-defined]
    assert MistralConfig(**write_config("mistral", config)).sliding_window is None


@pytest.mark.parametrize(
    "changes, key",
    [
        ({"layers": {"1": {"attention": {"window": 3}}}}, "layers"),
        ({"attention": {"query_bias": True}}, "attention.query_bias"),
        ({"feed_forward": {"bias": True}}, "feed_forward.bias"),
    ],
)
def test_what_mistral_has_no_place_for(changes: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        write_config("mistral", model_config("llama-nano", **changes))
    assert caught.value.key.split(".")[0] == key.split(".")[0]


@pytest.mark.parametrize("field, value", [("layer_types", ["full_attention"] * 32), ("attention_bias", True)])
def test_fields_that_are_not_covered(field: str, value: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        read_config("mistral", {**PUBLISHED, field: value})
    assert caught.value.key == field
