"""Our tokenizers as transformers opens them."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

import zoo
from tests.generation.vocabularies import tokenizer_of
from tests.tokenizer.families import FAMILIES, PROBES
from tests.tokenizer.families import theirs as opened_by_transformers
from tests.tokenizer.test_pipelines import folder_of
from zoo.errors import ConfigError, DataError
from zoo.interop.usage import read_usage
from zoo.tokenizer.export import carried_settings, write_for_transformers
from zoo.tokenizer.foreign import open_tokenizer
from zoo.tokenizer.special_files import NAMES
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


SAID = (*NAMES, "padding_side", "truncation_side", "model_max_length", "model_input_names", "extra_special_tokens")


def again(folder: Path) -> tuple[Any, Any]:
    """What transformers opens in a foreign folder, and in an export of its tokenizer for a model with segments."""
    (folder / "out").mkdir()
    carried = read_usage(folder)["carried"]["tokenizer_config.json"]
    write_for_transformers(open_tokenizer(folder), folder / "out", "encoder", carried, has_segments=True)
    return opened_by_transformers(folder), opened_by_transformers(folder / "out")


@pytest.mark.parametrize("files", ["older", "saved", "with more tokens"])
@pytest.mark.parametrize("family", FAMILIES)
def test_what_transformers_knows_of_a_tokenizer_comes_back(family: str, files: str, tmp_path: Path) -> None:
    """Special tokens without a role too, no token for a role that its files give to none, and what a model is given."""
    FAMILIES[family](tmp_path)
    folder = tmp_path
    if files != "older":
        folder, opened = tmp_path / "saved", opened_by_transformers(tmp_path)
        if files == "with more tokens":
            opened.add_tokens(["newtok"])
            opened.add_special_tokens({"extra_special_tokens": ["<new>", "<|im_start|>"]})
        opened.save_pretrained(folder)
        shutil.copy(tmp_path / "config.json", folder)
    before, after = again(folder)
    expected, found = ({name: getattr(one, name) for name in SAID} for one in (before, after))
    if (family, files) == ("gpt2", "older"):  # its class calls <|endoftext|> unknown, too, which it never writes
        assert found.pop("unk_token") is None
        assert expected.pop("unk_token") == "<|endoftext|>"
    if files == "older":  # transformers repeats named ones there
        assert {*found.pop("extra_special_tokens")} <= {*before.all_special_tokens}
        del expected["extra_special_tokens"]
    assert found == expected
    assert {*after.all_special_tokens} == {*before.all_special_tokens}
    for texts in (["the fox"], ["the fox", "the dog"]):
        assert dict(after(*texts)) == dict(before(*texts))
        if family in ("bert", "albert", "roberta", "bart"):  # of encoders, where they are asked for
            segments = [one(*texts, return_token_type_ids=True)["token_type_ids"] for one in (before, after)]
            assert segments[0] == segments[1]


def test_special_tokens_under_names_of_the_models_own_come_back(tmp_path: Path) -> None:
    FAMILIES["gpt2"](tmp_path)
    said = {"image_token": "the", "extra_special_tokens": {"sound_token": "it"}, "additional_special_tokens": ["<new>"]}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(said))
    before, after = again(tmp_path)
    assert (after.image_token, after.sound_token) == (before.image_token, before.sound_token) == ("the", "it")
    assert after.extra_special_tokens == before.extra_special_tokens == ["<new>"]


@pytest.mark.parametrize("family", ["roberta", "albert"])
def test_a_model_computes_the_same_of_two_texts(family: str, tmp_path: Path) -> None:
    """RoBERTa has one segment alone, and ALBERT's class tells none of its two."""
    FAMILIES[family](tmp_path)
    sizes = {"vocab_size": 340, "hidden_size": 8, "intermediate_size": 8, "max_position_embeddings": 32}
    sizes |= {"num_hidden_layers": 1, "num_attention_heads": 2, "type_vocab_size": 1 if family == "roberta" else 2}
    config = transformers.AutoConfig.for_model(family, **sizes)
    transformers.AutoModelForMaskedLM.from_config(config).save_pretrained(tmp_path)
    zoo.export(tmp_path, tmp_path / "out")
    logits = []
    for folder in (tmp_path, tmp_path / "out"):
        given = opened_by_transformers(folder)("the fox", "the dog", return_tensors="pt")
        logits.append(transformers.AutoModelForMaskedLM.from_pretrained(folder).eval()(**given).logits)
    assert torch.equal(*logits)


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
