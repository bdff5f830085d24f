"""mT5: what is particular to it. That it equals transformers is in test_parity.py."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import MT5Config, MT5ForConditionalGeneration, T5ForConditionalGeneration

import zoo
from tests.interop.cases import CASES, VOCAB
from tests.interop.parity import oracle
from zoo.config import difference
from zoo.errors import ConfigError
from zoo.interop import read_config, write_config
from zoo.interop.folder import read_foreign_config
from zoo.models.create import model_config

PUBLISHED = {  # config.json of google/mt5-small
    "architectures": ["MT5ForConditionalGeneration"],
    "d_ff": 1024,
    "d_kv": 64,
    "d_model": 512,
    "decoder_start_token_id": 0,
    "dropout_rate": 0.1,
    "eos_token_id": 1,
    "feed_forward_proj": "gated-gelu",
    "initializer_factor": 1.0,
    "is_encoder_decoder": True,
    "layer_norm_epsilon": 1e-06,
    "model_type": "mt5",
    "num_decoder_layers": 8,
    "num_heads": 6,
    "num_layers": 8,
    "pad_token_id": 0,
    "relative_attention_num_buckets": 32,
    "tie_word_embeddings": False,
    "tokenizer_class": "T5Tokenizer",
    "vocab_size": 250112,
}


def test_published_config_is_t5_v1_1_with_another_vocabulary() -> None:
    dropout = model_config("t5-small").dropout
    expected = model_config("t5-v1.1-small", vocab_size=250112, max_length=1024, dropout=dropout)
    assert difference(expected, read_config("mt5", PUBLISHED)) == []
    written = MT5Config(**write_config("mt5", read_config("mt5", PUBLISHED)))
    assert (written.vocab_size, written.is_gated_act, written.dense_act_fn) == (250112, True, "gelu_new")


@pytest.mark.parametrize("tied", [True, False])
def test_the_output_layer_is_its_own_whatever_the_config_says(tied: bool) -> None:
    """transformers 5 says true of every mT5, and keeps the two matrices of the files apart."""
    weights = oracle("mt5").state_dict()
    assert not torch.equal(weights["lm_head.weight"], weights["shared.weight"])
    config = read_config("mt5", {**PUBLISHED, "tie_word_embeddings": tied})
    assert config.heads["language_model"].tied is False  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "name, model_class", [("mt5", MT5ForConditionalGeneration), ("t5 v1.1", T5ForConditionalGeneration)]
)
def test_what_transformers_made_anew_is_tied_and_not_scaled(name: str, model_class: Any, tmp_path: Path) -> None:
    """It ties the layer of every new model, whatever its config says, and writes one matrix."""
    case = CASES[name]
    theirs = model_class(case.config).eval()
    theirs.save_pretrained(tmp_path / "theirs")
    assert not {*load_file(tmp_path / "theirs" / "model.safetensors")} & {"lm_head.weight"}
    tokens = torch.randint(1, VOCAB, (2, 7))
    ours = zoo.load(tmp_path / "theirs")
    assert ours.config.heads["language_model"].tied  # type: ignore[attr-defined]
    assert read_foreign_config(tmp_path / "theirs") == ours.config  # what is described is what is loaded
    (tmp_path / "described").mkdir()
    shutil.copy(
        tmp_path / "theirs" / "config.json", tmp_path / "described"
    )  # without its weights: what its config says
    assert not read_foreign_config(tmp_path / "described").heads["language_model"].tied  # type: ignore[attr-defined]
    zoo.export(ours, tmp_path / "again")
    again = model_class.from_pretrained(tmp_path / "again").eval()
    with torch.no_grad():
        expected = model_class.from_pretrained(tmp_path / "theirs").eval()(tokens, decoder_input_ids=tokens).logits
        found = ours(tokens=tokens, decoder_tokens=tokens)["language_model"]
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
        assert torch.equal(again(tokens, decoder_input_ids=tokens).logits, expected)


def test_a_scaled_output_layer_has_no_place() -> None:
    with pytest.raises(ConfigError, match=r"^heads\.language_model\.scale: mt5 has no place for"):
        write_config("mt5", model_config("t5-small"))


def test_what_repeats_the_feed_forward_must_agree() -> None:
    with pytest.raises(ConfigError, match=r"^is_gated_act: must be True, as feed_forward_proj is 'gated-gelu'"):
        read_config("mt5", {**PUBLISHED, "is_gated_act": False})
