"""BERT with both heads equals transformers' BertForPreTraining, and only with the right config."""

from typing import Any

import pytest
import torch
from transformers import BertConfig

from tests.interop.mutations import baseline, effect, mutated
from tests.interop.parity import foreign_config, oracle
from zoo.config import difference
from zoo.errors import CheckpointError, ConfigError, DataError
from zoo.interop import read_config, to_zoo, write_config
from zoo.models.create import model_config

NAME = "bert"
PUBLISHED = {  # config.json of google-bert/bert-base-uncased
    "architectures": ["BertForPreTraining"],
    "attention_probs_dropout_prob": 0.1,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "hidden_size": 768,
    "initializer_range": 0.02,
    "intermediate_size": 3072,
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": 512,
    "model_type": "bert",
    "num_attention_heads": 12,
    "num_hidden_layers": 12,
    "pad_token_id": 0,
    "type_vocab_size": 2,
    "vocab_size": 30522,
}


def test_mutations_that_are_refused() -> None:
    config = read_config("bert", foreign_config(NAME))
    for path, value in {"kind": "decoder", "num_heads": 4}.items():
        with pytest.raises(ConfigError):
            mutated(config, path, value)


def test_segments_are_refused_where_there_is_no_table() -> None:
    for count in (0, 1):
        with pytest.raises(DataError, match="segment"):
            effect(NAME, mutated(baseline(NAME), "embedding.num_segments", count))


@pytest.mark.parametrize("foreign", [PUBLISHED, BertConfig().to_dict()], ids=["published", "transformers"])
def test_preset(foreign: dict[str, Any]) -> None:
    """transformers keeps the padding token's row out of training; the paper and its code do not."""
    spelled_out = model_config("bert-base", feed_forward_dim=3072)
    assert difference(spelled_out, read_config("bert", foreign)) == [("embedding.padding_token", None, 0)]
    assert BertConfig(**write_config("bert", model_config("bert-base"))).pad_token_id is None


def test_classes() -> None:
    for name, heads in (("BertForMaskedLM", {"language_model"}), ("BertForNextSentencePrediction", {"next_sentence"})):
        config = read_config("bert", {**foreign_config(NAME), "architectures": [name]})
        assert set(config.heads) == heads
        assert write_config("bert", config)["architectures"] == [name]
    with pytest.raises(ConfigError, match="architectures: unknown class of bert 'BertForMultipleChoice'"):
        read_config("bert", {"architectures": ["BertForMultipleChoice"]})


def test_foreign_buffers_are_no_weights() -> None:
    foreign = oracle(NAME).state_dict()
    buffer = torch.arange(17)[None]
    assert to_zoo("bert", foreign | {"bert.embeddings.position_ids": buffer}, foreign_config(NAME))
    with pytest.raises(CheckpointError, match=r"left over: bert\.embeddings\.positions"):
        to_zoo("bert", foreign | {"bert.embeddings.positions": buffer}, foreign_config(NAME))


def test_learned_positions_end_where_theirs_do() -> None:
    config = mutated(read_config("bert", foreign_config(NAME)), "max_length", 12)
    with pytest.raises(DataError, match="position 12"):
        config.build(0)(tokens=torch.zeros(1, 13, dtype=torch.int64))


@pytest.mark.parametrize(
    "field, value",
    [
        ("position_embedding_type", "relative_key"),
        ("is_decoder", True),
        ("tie_word_embeddings", False),
        ("hidden_act", "mish"),
        ("pruned_heads", {"0": [1]}),
        ("embedding_size", 128),
        ("model_type", "roberta"),
    ],
)
def test_fields_that_are_not_covered(field: str, value: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        read_config("bert", {**PUBLISHED, field: value})
    assert caught.value.key.split(".")[0] == field
