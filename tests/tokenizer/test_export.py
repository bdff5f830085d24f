"""Our tokenizers as transformers opens them."""

import json
from pathlib import Path
from typing import Any

import pytest
import transformers

from tests.generation.vocabularies import tokenizer_of
from tests.tokenizer.families import FAMILIES, PROBES
from tests.tokenizer.test_pipelines import folder_of
from zoo.errors import ConfigError, DataError
from zoo.tokenizer.export import carried_settings, write_for_transformers
from zoo.tokenizer.foreign import open_tokenizer
from zoo.tokenizer.tokenizer import Tokenizer

FRAMES = {
    "encoder": ("bert", "classify", "separate"),
    "decoder": ("gpt", None, None),
    "encoder_decoder": ("t5", None, "end"),
}


def written(tokenizer: Tokenizer, folder: Path, family: str, segments: bool = False) -> Any:
    write_for_transformers(tokenizer, folder, family, {"model_max_length": 32}, segments)
    return transformers.AutoTokenizer.from_pretrained(folder)


@pytest.mark.parametrize("family", FRAMES)
def test_texts_have_the_frame_that_the_family_is_trained_with(family: str, tmp_path: Path) -> None:
    name, before, after = FRAMES[family]
    ours = tokenizer_of(name)
    theirs = written(ours, tmp_path, family)
    for text in ["The dog", "two  spaces", "naïve"]:
        expected = [ours.role(role) for role in [before] if role]
        expected += [*ours.prompt(text).tolist(), *(ours.role(role) for role in [after] if role)]
        assert theirs(text)["input_ids"] == expected
        assert theirs.decode(theirs(text)["input_ids"], skip_special_tokens=True) == ours.decode(ours.prompt(text))
    assert theirs.model_max_length == 32
    assert open_tokenizer(tmp_path).roles == ours.roles


def test_segments_are_given_where_the_model_has_them(tmp_path: Path) -> None:
    (tmp_path / "with").mkdir()
    theirs = written(tokenizer_of("bert"), tmp_path / "with", "encoder", segments=True)
    assert theirs("The dog", "A cat")["token_type_ids"][-1] == 1
    assert "token_type_ids" not in written(tokenizer_of("bert"), tmp_path, "encoder")("The dog")


@pytest.mark.parametrize("family", ["bert", "roberta", "gpt2"])
def test_what_was_opened_keeps_its_own_frame(family: str, tmp_path: Path) -> None:
    FAMILIES[family](tmp_path)
    ours = open_tokenizer(tmp_path)
    (tmp_path / "out").mkdir()
    theirs = written(ours, tmp_path / "out", "decoder" if family == "gpt2" else "encoder")
    assert [theirs(text)["input_ids"] for text in PROBES] == [ours.framed(text).tolist() for text in PROBES]


def test_a_limit_that_was_baked_in_is_left_out(tmp_path: Path) -> None:
    ours = tokenizer_of("bert")
    definition = json.loads(ours.definition)
    cut = {"direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0}
    theirs = written(Tokenizer(json.dumps(definition | {"truncation": cut}), ours.special), tmp_path, "encoder")
    assert len(theirs("The dog sees the cat")["input_ids"]) > 3


def test_settings_that_change_no_id_are_carried() -> None:
    said = {"padding_side": "left", "model_max_length": 99, "truncation_side": None, "do_lower_case": True}
    assert carried_settings(said, {}, Path("x")) == {"padding_side": "left", "model_max_length": 99}
    for named, side in (("LlamaTokenizerFast", {"padding_side": "left"}), ("BertTokenizer", {})):
        assert carried_settings({"tokenizer_class": named}, {}, Path("x")) == side
        assert carried_settings({"tokenizer_class": named, **said}, {}, Path("x"))["padding_side"] == "left"
    plain = {"padding_side": "right", "truncation_side": "right", "clean_up_tokenization_spaces": False}
    assert carried_settings({"tokenizer_class": "LlamaTokenizer", **plain}, {}, Path("x")) == {}
    with pytest.raises(DataError, match=r"x: padding_side must be 'left' or 'right', not 'up'"):
        carried_settings({"padding_side": "up"}, {}, Path("x"))


def test_a_class_that_would_make_other_ids_is_refused(tmp_path: Path) -> None:
    """Whatever a folder of Qwen2 names, transformers opens it with Qwen2's class."""
    with pytest.raises(ConfigError, match="architecture: transformers opens the tokenizer of each qwen2 folder"):
        write_for_transformers(tokenizer_of("gpt"), tmp_path, "decoder", {}, False, "qwen2")
    write_for_transformers(tokenizer_of("gpt"), tmp_path, "decoder", {}, False, "qwen3")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "qwen3"}))
    ours, reference = tokenizer_of("gpt"), transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert reference("The dog 1234")["input_ids"] == ours.prompt("The dog 1234").tolist()
    (own := tmp_path / "own").mkdir()
    ours = open_tokenizer(folder_of("qwen2", "qwen2", own))
    (again := tmp_path / "again").mkdir()
    write_for_transformers(ours, again, "decoder", {}, False, "qwen2")
    (again / "config.json").write_text(json.dumps({"model_type": "qwen2"}))
    reference = transformers.AutoTokenizer.from_pretrained(again)
    assert type(reference).__name__ == "Qwen2Tokenizer"
    assert reference("The dog 1234")["input_ids"] == ours.framed("The dog 1234").tolist()
