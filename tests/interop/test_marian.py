"""Marian: what is particular to it. That it equals transformers is in test_parity.py."""

from typing import Any

import pytest

from tests.interop.parity import oracle, our_weights
from zoo.errors import ConfigError
from zoo.interop import read_config, to_zoo, write_config

PUBLISHED = {  # config.json of Helsinki-NLP/opus-mt-en-de
    "activation_dropout": 0.0,
    "activation_function": "swish",
    "add_bias_logits": False,
    "add_final_layer_norm": False,
    "architectures": ["MarianMTModel"],
    "attention_dropout": 0.0,
    "bad_words_ids": [[58100]],
    "bos_token_id": 0,
    "classif_dropout": 0.0,
    "classifier_dropout": 0.0,
    "d_model": 512,
    "decoder_attention_heads": 8,
    "decoder_ffn_dim": 2048,
    "decoder_layerdrop": 0.0,
    "decoder_layers": 6,
    "decoder_start_token_id": 58100,
    "decoder_vocab_size": 58101,
    "dropout": 0.1,
    "encoder_attention_heads": 8,
    "encoder_ffn_dim": 2048,
    "encoder_layerdrop": 0.0,
    "encoder_layers": 6,
    "eos_token_id": 0,
    "forced_eos_token_id": 0,
    "init_std": 0.02,
    "is_encoder_decoder": True,
    "max_length": 512,
    "max_position_embeddings": 512,
    "model_type": "marian",
    "normalize_before": False,
    "normalize_embedding": False,
    "num_beams": 6,
    "num_hidden_layers": 6,
    "pad_token_id": 58100,
    "scale_embedding": True,
    "share_encoder_decoder_embeddings": True,
    "static_position_embeddings": True,
    "use_cache": True,
    "vocab_size": 58101,
}


def test_published_config() -> None:
    config = read_config("marian", PUBLISHED)
    assert (config.positions.layout, config.embedding.scale) == ("half", "sqrt_dim")  # type: ignore[attr-defined]
    assert read_config("marian", write_config("marian", config)) == config


def test_tables_of_sinusoids_may_be_there_or_not() -> None:
    from tests.interop.parity import foreign_config

    weights = oracle("marian").state_dict()
    tables = [name for name in weights if "embed_positions" in name]
    assert len(tables) == 2
    without = {name: tensor for name, tensor in weights.items() if name not in tables}
    assert to_zoo("marian", without, foreign_config("marian")).keys() == our_weights("marian").keys()


@pytest.mark.parametrize(
    "field, value",
    [
        ("decoder_vocab_size", 40000),
        ("normalize_embedding", True),
        ("static_position_embeddings", False),
        ("decoder_layerdrop", 0.1),
        ("tied_embeddings_src", False),
    ],
)
def test_fields_that_are_not_covered(field: str, value: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        read_config("marian", {**PUBLISHED, field: value})
    assert caught.value.key == field
