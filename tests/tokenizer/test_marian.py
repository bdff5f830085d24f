"""Marian's two languages: ids and texts are transformers' on either side, wherever the tokenizer has been."""

import json
import pickle
import random
import warnings
from pathlib import Path
from typing import Any

import pytest
import transformers

from tests.tokenizer.families import FAMILIES, GERMAN, PROBES, two_languages
from zoo.errors import DataError
from zoo.tokenizer.export import write_for_transformers
from zoo.tokenizer.foreign import open_tokenizer
from zoo.tokenizer.special_tokens import SpecialTokens
from zoo.tokenizer.tokenizer import TARGETS_FILE_NAME, Tokenizer

pytest.importorskip("sentencepiece", reason="the package sentencepiece is not installed")

CODES = [">>de<< the fox", ">>de<<the fox", ">>de<<  the", ">>pt_BR<< Hund", ">>de<<", ">>de<< "]
NO_CODES = [" >>de<< the fox", "the >>de<< fox", "\n>>de<< fox", ">> the fox", "the>>de<<", ">>de<<>>de<<", "<<de>>"]
UNKNOWN_CODES = [">>fr<< fox", ">>a b<< the", ">><<x", ">>x\ny<<b", ">>fr<<>>de<<", "</s>>>de<< fox", "<pad>>>de<<"]
LETTERS = [
    "e\u0301",
    "\u00e9\u200d",
    "e\u0301\u200d",
    "U\u0308ber",
    "ÜÜber",
    "日本 fox 語",
    "Qüx",
    "a\ufdd1>>de<<",
    "▁",
]
PIECES = [
    "Der",
    "Hund",
    "Füchse",
    "Über",
    "the",
    "quick",
    " ",
    "  ",
    "ü",
    "Q",
    "日本",
    "<",
    ">>de<<",
    "</s>",
    "<pad>",
    "!",
]


def texts() -> list[str]:
    draw = random.Random(0)
    mixed = ["".join(draw.choices(PIECES, k=draw.randint(1, 6))) for _ in range(200)]
    return [*PROBES, *GERMAN, *CODES, *NO_CODES, *UNKNOWN_CODES, *LETTERS, *mixed]


def theirs(folder: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that sacremoses is recommended
        return transformers.AutoTokenizer.from_pretrained(folder)


def assert_equal(ours: Tokenizer, other: Any) -> None:
    """Both give the same ids on both sides, and the same texts of ids."""
    for text in texts():
        assert ours.framed(text).tolist() == other(text)["input_ids"], text
        assert ours.for_targets.framed(text).tolist() == other(text_target=text)["input_ids"], text
    draw = random.Random(1)
    for _ in range(200):
        ids = draw.choices(range(ours.vocab_size), k=draw.randint(1, 8))
        assert ours.decode(ids) == ours.for_targets.decode(ids) == other.decode(ids, skip_special_tokens=True), ids


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("marian")
    two_languages(made)
    return made


def test_each_side_has_their_ids(folder: Path) -> None:
    ours = open_tokenizer(folder)
    assert ours.prompt("der Hund").tolist() != ours.for_targets.prompt("der Hund").tolist()
    assert_equal(ours, theirs(folder))


def test_a_folder_of_ours_keeps_both(folder: Path, tmp_path: Path) -> None:
    ours = open_tokenizer(folder)
    ours.save(tmp_path)
    again = Tokenizer.load(tmp_path)
    assert again.fingerprint == ours.fingerprint == pickle.loads(pickle.dumps(ours)).fingerprint
    assert_equal(again, theirs(folder))
    (tmp_path / TARGETS_FILE_NAME).unlink()
    assert Tokenizer.load(tmp_path).fingerprint != ours.fingerprint


def test_an_export_has_both(folder: Path, tmp_path: Path) -> None:
    ours = open_tokenizer(folder).with_tokens(["<new>"])
    write_for_transformers(ours, tmp_path, "encoder_decoder", {}, has_segments=False)
    other, again = theirs(tmp_path), open_tokenizer(tmp_path)
    assert isinstance(other, transformers.MarianTokenizer)
    assert ours.for_targets.framed("Hund <new>").tolist() == other(text_target="Hund <new>")["input_ids"]
    assert_equal(ours, other)
    assert_equal(again, other)


def test_one_model_of_both_is_one_tokenizer(tmp_path: Path) -> None:
    FAMILIES["marian"](tmp_path)
    ours = open_tokenizer(tmp_path)
    assert ours.for_targets is ours
    ours.save(tmp_path / "ours")
    assert not (tmp_path / "ours" / TARGETS_FILE_NAME).exists()
    (tmp_path / "target.spm").unlink()
    assert open_tokenizer(tmp_path).fingerprint == ours.fingerprint


def test_other_tokens_for_targets_are_refused(folder: Path) -> None:
    ours = open_tokenizer(folder)
    other = ours.with_tokens(["<new>"])
    with pytest.raises(DataError, match="must have the tokens of the other, with their ids"):
        Tokenizer(ours.definition, ours.special, other.definition)
    with pytest.raises(DataError, match="cannot read the tokenizer"):
        Tokenizer(ours.definition, SpecialTokens({}), json.dumps({}))
