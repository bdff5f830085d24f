"""What becomes of the settings of a foreign generation_config.json: none is lost without a word."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

import zoo
from zoo.generation.decoding import DecodingConfig
from zoo.interop.suggestions import FOLLOWED, IDLE, SUGGESTIONS, suggested, told


def test_every_setting_of_transformers_is_in_one_table() -> None:
    theirs = {*vars(transformers.GenerationConfig())} - {"_from_model_config"}
    assert theirs <= {*SUGGESTIONS} | FOLLOWED | IDLE
    assert not IDLE & {*SUGGESTIONS}
    assert FOLLOWED & {*SUGGESTIONS} == {"forced_bos_token_id"}  # an encoder-decoder's is followed


def test_options_that_are_named_exist() -> None:
    options = {field.name for field in dataclasses.fields(DecodingConfig)} | {"max_new_tokens"}
    assert {one.ours for one in SUGGESTIONS.values()} - {""} <= options


def test_idle_values_are_the_defaults_of_transformers() -> None:
    defaults = transformers.GenerationConfig._get_default_generation_params()
    for name, one in SUGGESTIONS.items():
        if defaults.get(name) is not None and name != "top_k":  # theirs draws from 50 unasked, ours from all
            assert defaults[name] in one.idle, name


def test_what_is_known_or_stands_alone_is_kept_and_what_would_change_a_text_is_told() -> None:
    said = {"num_beams": 4, "top_p": 1.0, "top_h": 0.4, "mood": "good", "use_cache": True, "eos_token_id": 2}
    assert suggested(said, alone=True) == {"num_beams": 4, "top_p": 1.0, "top_h": 0.4, "mood": "good"}
    assert suggested(said, alone=False) == {"num_beams": 4, "top_p": 1.0, "top_h": 0.4}
    assert told(suggested({**said, "top_k": None}, alone=True)) == [
        ("num_beams=4", "num_beams"),
        ("top_h=0.4", ""),
        ('mood="good"', ""),
    ]
    assert told(None) == []


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    config = transformers.GPT2Config(n_layer=1, n_head=2, n_embd=16, n_positions=32, vocab_size=40)
    with torch.random.fork_rng():
        transformers.GPT2LMHeadModel(config).save_pretrained(tmp_path / "theirs")
    return tmp_path / "theirs"


def saying(folder: Path, **settings: Any) -> Path:
    transformers.GenerationConfig(**settings).save_pretrained(folder)
    return folder


def test_what_nothing_here_does_is_a_warning_with_its_name(
    folder: Path, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    settings = {"encoder_no_repeat_ngram_size": 3, "sequence_bias": [[[5], -2.0]], "mood": "good"}
    model = zoo.load(saying(folder, do_sample=True, temperature=0.6, forced_bos_token_id=3, **settings))
    said = [str(one.message) for one in recwarn if "nothing here does" in str(one.message)]
    assert len(said) == 1
    for name in ("encoder_no_repeat_ngram_size=3", "sequence_bias=[[[5], -2.0]]", 'mood="good"', "forced_bos_token_id"):
        assert name in said[0]
    assert "temperature" not in said[0]
    zoo.export(model, tmp_path / "again")  # what is kept goes out as it came
    again = transformers.GenerationConfig.from_pretrained(tmp_path / "again")
    for name, value in {**settings, "do_sample": True, "temperature": 0.6, "forced_bos_token_id": 3}.items():
        assert getattr(again, name) == value


def test_what_an_option_does_is_no_warning(folder: Path, recwarn: pytest.WarningsRecorder) -> None:
    model = zoo.load(saying(folder, do_sample=True, temperature=0.6, top_k=5, num_return_sequences=2))
    assert model.conventions.suggestions == {
        "do_sample": True,
        "temperature": 0.6,
        "top_k": 5,
        "num_return_sequences": 2,
    }
    assert not [one for one in recwarn if "nothing here does" in str(one.message)]
