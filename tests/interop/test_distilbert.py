"""DistilBERT: what is particular to it. That it equals transformers is in test_parity.py."""

from typing import Any

import pytest
import torch

from tests.interop.parity import foreign_config, oracle
from zoo.errors import ConfigError
from zoo.interop import read_config, to_zoo, write_config
from zoo.models.create import model_config

PUBLISHED = {  # config.json of distilbert/distilbert-base-uncased
    "activation": "gelu",
    "architectures": ["DistilBertForMaskedLM"],
    "attention_dropout": 0.1,
    "dim": 768,
    "dropout": 0.1,
    "hidden_dim": 3072,
    "initializer_range": 0.02,
    "max_position_embeddings": 512,
    "model_type": "distilbert",
    "n_heads": 12,
    "n_layers": 6,
    "pad_token_id": 0,
    "qa_dropout": 0.1,
    "seq_classif_dropout": 0.2,
    "sinusoidal_pos_embds": False,
    "tie_weights_": True,
    "transformers_version": "4.10.0.dev0",
    "vocab_size": 30522,
}


def test_published_config_is_half_of_bert() -> None:
    changes: dict[str, Any] = {"num_layers": 6, "embedding": {"num_segments": 0, "padding_token": 0}}
    expected = model_config("bert-base", feed_forward_dim=3072, heads={"next_sentence": None}, **changes)
    config = read_config("distilbert", PUBLISHED)
    assert config == expected
    assert write_config("distilbert", config)["n_layers"] == 6


def test_position_numbers_are_no_weights() -> None:
    buffer = {"distilbert.embeddings.position_ids": torch.arange(17)[None]}
    assert to_zoo("distilbert", oracle("distilbert").state_dict() | buffer, foreign_config("distilbert"))


@pytest.mark.parametrize(
    "changes, key",
    [({"norm": {"eps": 1e-5}}, "norm.eps"), ({"embedding": {"num_segments": 2}}, "embedding.num_segments")],
)
def test_what_distilbert_has_no_place_for(changes: dict[str, Any], key: str) -> None:
    base = model_config("bert-nano", heads={"next_sentence": None}, embedding={"num_segments": 0})
    assert write_config("distilbert", base)
    with pytest.raises(ConfigError) as caught:
        write_config("distilbert", model_config(base, **changes))
    assert caught.value.key == key


@pytest.mark.parametrize(
    "field, value", [("tie_word_embeddings", False), ("activation", "mish"), ("layer_norm_eps", 1e-5)]
)
def test_fields_that_are_not_covered(field: str, value: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        read_config("distilbert", {**PUBLISHED, field: value})
    assert caught.value.key == field
