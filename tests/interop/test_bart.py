"""BART: what is particular to it. That it equals transformers is in test_parity.py."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers.pre_tokenizers import ByteLevel
from transformers import BartConfig, RobertaTokenizer
from transformers.models.bart.modeling_bart import BartForConditionalGeneration

import zoo
from tests.interop.parity import foreign_config, oracle, our_config, our_weights
from zoo.errors import CheckpointError, ConfigError
from zoo.interop import read_config, to_zoo, write_config

PUBLISHED = {  # config.json of facebook/bart-base
    "activation_dropout": 0.1,
    "activation_function": "gelu",
    "add_bias_logits": False,
    "add_final_layer_norm": False,
    "architectures": ["BartForConditionalGeneration"],
    "attention_dropout": 0.1,
    "bos_token_id": 0,
    "classif_dropout": 0.1,
    "classifier_dropout": 0.0,
    "d_model": 768,
    "decoder_attention_heads": 12,
    "decoder_ffn_dim": 3072,
    "decoder_layerdrop": 0.0,
    "decoder_layers": 6,
    "decoder_start_token_id": 2,
    "dropout": 0.1,
    "early_stopping": True,
    "encoder_attention_heads": 12,
    "encoder_ffn_dim": 3072,
    "encoder_layerdrop": 0.0,
    "encoder_layers": 6,
    "eos_token_id": 2,
    "forced_bos_token_id": 0,
    "forced_eos_token_id": 2,
    "gradient_checkpointing": False,
    "init_std": 0.02,
    "is_encoder_decoder": True,
    "max_position_embeddings": 1024,
    "model_type": "bart",
    "no_repeat_ngram_size": 3,
    "normalize_before": False,
    "normalize_embedding": True,
    "num_beams": 4,
    "num_hidden_layers": 6,
    "pad_token_id": 1,
    "scale_embedding": False,
    "use_cache": True,
    "vocab_size": 50265,
}


def test_published_config() -> None:
    config = read_config("bart", PUBLISHED)
    assert config.decoder == {}  # type: ignore[attr-defined]
    with torch.device("meta"):
        num_parameters = config.build_unset().num_parameters
    assert num_parameters == 139_420_416 + 50265  # what transformers counts, whose bias of the logits is no parameter


def test_sides_that_differ() -> None:
    changes = {"decoder_layers": 2, "decoder_attention_heads": 6}
    config = read_config("bart", {**PUBLISHED, **changes})
    assert config.decoder == {"num_layers": 2, "num_heads": 6}  # type: ignore[attr-defined]
    written = write_config("bart", config)
    assert {name: written[name] for name in ("encoder_layers", "encoder_attention_heads", *changes)} == {
        "encoder_layers": 6,
        "encoder_attention_heads": 12,
        **changes,
    }


def test_the_bias_of_the_logits_is_a_row_there() -> None:
    row = oracle("bart").state_dict()["final_logits_bias"]
    assert torch.equal(our_weights("bart")["heads.language_model.bias"], row[0])
    assert row.shape == (1, our_config("bart").vocab_size)


def test_weights_may_stand_under_one_name_of_four() -> None:
    weights = oracle("bart").state_dict()
    copies = ("model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight", "lm_head.weight")
    once = {name: tensor for name, tensor in weights.items() if name not in copies}
    assert to_zoo("bart", once, foreign_config("bart")).keys() == our_weights("bart").keys()


@pytest.mark.parametrize(
    "field, value",
    [
        ("normalize_before", True),
        ("add_final_layer_norm", True),
        ("encoder_layerdrop", 0.1),
        ("tie_word_embeddings", False),
        ("activation_function", "mish"),
        ("static_position_embeddings", True),
    ],
)
def test_fields_that_are_not_covered(field: str, value: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        read_config("bart", {**PUBLISHED, field: value})
    assert caught.value.key == field


MNLI = {  # what config.json of facebook/bart-large-mnli adds to that of bart-large
    "_num_labels": 3,
    "architectures": ["BartForSequenceClassification"],
    "classif_dropout": 0.0,
    "classifier_dropout": 0.0,
    "id2label": {"0": "contradiction", "1": "neutral", "2": "entailment"},
    "label2id": {"contradiction": 0, "entailment": 2, "neutral": 1},
    "total_flos": 153130534133111808,
}


def test_the_published_classifier() -> None:
    config = read_config("bart", MNLI)
    assert config.heads["sequence_classification"].labels == ("contradiction", "neutral", "entailment")  # type: ignore[attr-defined]
    assert BartConfig(**write_config("bart", config)).id2label == {0: "contradiction", 1: "neutral", 2: "entailment"}


@pytest.mark.parametrize("given", [{}, {"num_labels": 2}])
def test_three_classes_where_none_are_given(given: dict[str, int]) -> None:
    config = read_config("bart", {"architectures": ["BartForSequenceClassification"], **given})
    assert config.heads["sequence_classification"].labels == BartConfig(**given).num_labels  # type: ignore[attr-defined]


@pytest.fixture
def longer(tmp_path: Path) -> Path:
    """As bart-large-cnn was published: `<mask>` is in its tokenizer, and has no row in its table."""
    tokens = ["<s>", "<pad>", "</s>", "<unk>", *sorted(ByteLevel.alphabet()), "th", "the", "<mask>"]
    (tmp_path / "vocab.json").write_text(json.dumps({token: id for id, token in enumerate(tokens)}))
    (tmp_path / "merges.txt").write_text("#version: 0.2\nt h\nth e\n")
    config = BartConfig(
        vocab_size=len(tokens) - 1,
        d_model=8,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=1,
        decoder_attention_heads=1,
        encoder_ffn_dim=8,
        decoder_ffn_dim=8,
        max_position_embeddings=16,
    )
    BartForConditionalGeneration(config).save_pretrained(tmp_path)
    return tmp_path


def told_of(folder: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        zoo.load(folder)
    return str(caught.value)


def test_a_mask_without_a_row_is_told_with_the_two_ways_out(longer: Path) -> None:
    """Both are what they say."""
    ids = len(json.loads((longer / "vocab.json").read_text()))
    told = told_of(longer)
    assert f"the tokenizer has {ids} ids but the model's vocabulary only {ids - 1}" in told
    assert "take '<mask>' out of vocab.json where no text needs it, or take vocab.json, merges.txt away" in told
    without = shutil.copytree(longer, longer.parent / "without")
    (without / "vocab.json").unlink()
    (without / "merges.txt").unlink()
    logits = zoo.load(without)(tokens=torch.tensor([[0, 5, 2]]), decoder_tokens=torch.tensor([[2]]))["language_model"]
    assert logits.shape == (1, 1, ids - 1)
    vocabulary = json.loads((longer / "vocab.json").read_text())
    del vocabulary["<mask>"]
    (longer / "vocab.json").write_text(json.dumps(vocabulary))
    assert zoo.load(longer).tokenizer.vocab_size == ids - 1


def test_a_mask_without_a_row_in_todays_file(longer: Path) -> None:
    RobertaTokenizer.from_pretrained(longer).save_pretrained(longer)
    for name in ("vocab.json", "merges.txt"):
        (longer / name).unlink(missing_ok=True)
    said = "take '<mask>' out of tokenizer.json, tokenizer_config.json (there out of added_tokens and of the vocab of"
    assert said in told_of(longer)
    content = json.loads((longer / "tokenizer.json").read_text())
    content["added_tokens"] = [token for token in content["added_tokens"] if token["content"] != "<mask>"]
    del content["model"]["vocab"]["<mask>"]
    (longer / "tokenizer.json").write_text(json.dumps(content))
    config = json.loads((longer / "tokenizer_config.json").read_text())
    del config["mask_token"]
    (longer / "tokenizer_config.json").write_text(json.dumps(config))
    assert zoo.load(longer).tokenizer.vocab_size == len(content["model"]["vocab"])


def test_many_ids_without_a_row_leave_one_way_out(longer: Path) -> None:
    vocabulary = json.loads((longer / "vocab.json").read_text())
    more = {f"more{number}": len(vocabulary) + number for number in range(9)}
    (longer / "vocab.json").write_text(json.dumps(vocabulary | more))
    assert "; in a copy of the folder, take vocab.json, merges.txt away: the model then opens" in told_of(longer)
