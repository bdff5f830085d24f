"""Marian: what is particular to it. That it equals transformers is in test_parity.py."""

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

import zoo
from tests.interop.parity import oracle, our_weights
from tests.tokenizer.families import two_languages
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


def test_what_the_decoder_writes_is_cut_by_the_model_of_its_language(tmp_path: Path) -> None:
    pytest.importorskip("sentencepiece", reason="the package sentencepiece is not installed")
    source, output = "the quick fox", "Der Hund und der Fuchs"
    folder = tmp_path / "theirs"
    folder.mkdir()
    two_languages(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that sacremoses is recommended
        tokenizer = transformers.MarianTokenizer.from_pretrained(folder)
    model = small_model(len(tokenizer))
    model.save_pretrained(folder)
    inputs, labels = (
        tokenizer(source, return_tensors="pt"),
        tokenizer(text_target=output, return_tensors="pt").input_ids,
    )
    with torch.no_grad():
        expected = -model(**inputs, labels=labels).loss.item() * labels.shape[1]
    ours = zoo.load(folder)
    zoo.save(ours, tmp_path / "ours")
    zoo.export(zoo.load(tmp_path / "ours"), tmp_path / "export")
    for place in ("theirs", "ours", "export"):
        opened = zoo.load(tmp_path / place)
        score = opened.score(source, output)
        assert score.tokens == labels[0].tolist(), place
        assert score.total == pytest.approx(expected, abs=1e-4), place
        written = opened.generate(source, prefix=output, max_new_tokens=labels.shape[1] + 1, details=True)
        assert written.tokens[: labels.shape[1] - 1] == labels[0, :-1].tolist(), place


def small_model(vocab_size: int) -> transformers.MarianMTModel:
    config = transformers.MarianConfig(
        vocab_size=vocab_size,
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=8,
        decoder_ffn_dim=8,
        max_position_embeddings=64,
        pad_token_id=vocab_size - 1,
        decoder_start_token_id=vocab_size - 1,
        eos_token_id=0,
        forced_eos_token_id=0,
    )
    torch.manual_seed(0)
    return transformers.MarianMTModel(config).eval()
