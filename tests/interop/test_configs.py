"""Configs both ways: what cannot be said on the other side is refused, by the field's name."""

from typing import Any

import pytest

from zoo.errors import ConfigError
from zoo.interop import read_config, write_config
from zoo.models.create import model_config

PRESETS = {
    "albert": ("albert-base",),
    "bert": ("bert-nano", "bert-small", "bert-base", "bert-large"),
    "deepseek_v3": ("deepseek-nano",),
    "gemma2": ("gemma-2-2b",),
    "gpt2": ("gpt-nano", "gpt-small", "gpt2", "gpt2-xl"),
    "llama": ("llama-nano", "llama-15m", "llama-3.2-1b"),
    "marian": ("marian-base",),
    "modernbert": ("modernbert-base",),
    "olmo2": ("olmo-2-1b",),
    "qwen3": ("qwen3-0.6b",),
    "t5": ("t5-nano", "t5-small", "t5-v1.1-small", "t5-large", "t5-v1.1-large"),
}
OTHERWISE_INITIALIZED = ("marian-base", "modernbert-base")
"""Sizes whose papers draw weights as no foreign config can say."""
PAIRS = [(architecture, name) for architecture, names in PRESETS.items() for name in names]


@pytest.mark.parametrize("architecture, name", PAIRS)
def test_presets_come_back(architecture: str, name: str) -> None:
    written = write_config(architecture, model_config(name))
    assert written["model_type"] == architecture
    again = read_config(architecture, written)
    assert {**written, **write_config(architecture, again)} == write_config(architecture, again)
    assert again.dropout == model_config(name).dropout
    assert (again.initialization == model_config(name).initialization) == (name not in OTHERWISE_INITIALIZED)


@pytest.mark.parametrize(
    "changes, key",
    [
        ({"placement": "pre"}, "placement"),
        ({"positions": {"kind": "alibi"}}, "positions.kind"),
        ({"attention": {"window": 4}}, "attention.window"),
        ({"attention": {"key_bias": False}}, "attention.key_bias"),
        ({"num_kv_heads": 1}, "num_kv_heads"),
        ({"head_dim": 16}, "head_dim"),
        ({"norm": {"kind": "rms_norm"}}, "norm.kind"),
        ({"dropout": {"feed_forward": 0.1}}, "dropout.feed_forward"),
        ({"heads": {"next_sentence": None, "token_classification": "token_classification"}}, "heads"),
        ({"heads": {"language_model": {"transform": "relu"}}}, "heads.language_model.transform"),
        ({"embedding": {"scale": "sqrt_dim"}}, "embedding.scale"),
    ],
)
def test_what_bert_has_no_place_for(changes: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        write_config("bert", model_config("bert-nano", **changes))
    assert caught.value.key == key


def test_initialization_and_kernel_are_no_matter() -> None:
    changes = {"initialization": {"kind": "xavier"}, "attention": {"kernel": "reference"}}
    assert "initializer_range" not in write_config("bert", model_config("bert-nano", **changes))


def test_another_family() -> None:
    """Nothing else is told then: everything about a decoder is otherwise than about an encoder."""
    for name, kind in (("bert-nano", "encoder"), ("t5-nano", "encoder_decoder")):
        with pytest.raises(ConfigError, match=f"^kind: gpt2 has no place for '{kind}'; there it is 'decoder'$"):
            write_config("gpt2", model_config(name))


def test_errors_name_the_field_and_its_values() -> None:
    with pytest.raises(ConfigError, match=r"^hidden_act: 'mish' is not covered; it must be one of 'gelu', "):
        read_config("bert", {"hidden_act": "mish"})
    with pytest.raises(ConfigError, match=r"^is_decoder: bert with True is not covered; it must be False$"):
        read_config("bert", {"is_decoder": True})
    with pytest.raises(ConfigError, match=r"^moe_layers: bert has a field that is not known here"):
        read_config("bert", {"moe_layers": [1]})
    with pytest.raises(ConfigError, match=r"^placement: bert has no place for 'pre'; there it is 'post'$"):
        write_config("bert", model_config("bert-nano", placement="pre"))


def test_a_foreign_config_is_not_changed() -> None:
    foreign = {"tie_word_embeddings": False, "task_specific_params": {"a": {}}}
    read_config("t5", foreign)
    assert foreign == {"tie_word_embeddings": False, "task_specific_params": {"a": {}}}
