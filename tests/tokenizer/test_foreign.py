"""Tokenizers of other libraries, from the files that they are kept in."""

import json
from pathlib import Path

import pytest
import tokenizers
import transformers

from tests.tokenizer.families import FAMILIES, theirs
from zoo.errors import DataError
from zoo.tokenizer.foreign import FORMATS, open_tokenizer
from zoo.tokenizer.train import ByteLevelBPEConfig, FileConfig, WordPieceConfig

TEXTS = ["The quick brown fox jumps over the lazy dog. ", "Pack my box with five dozen liquor jugs!\n", "café 你好"] * 9
STRANGE = ["", " ", "two  spaces", "Naïve COOPERATION, isn't it?", "🙂 tab\t", "\r\nline", "a[MASK]b", "中文 text"]


def library_of(folder: Path) -> tokenizers.Tokenizer:
    return tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))


@pytest.fixture
def gpt2(tmp_path: Path) -> Path:
    """GPT-2's two files, without a special token in them but <|endoftext|>."""
    ByteLevelBPEConfig(vocab_size=400).train(TEXTS).save(tmp_path / "ours")
    folder = tmp_path / "gpt2"
    folder.mkdir()
    library_of(tmp_path / "ours").model.save(str(folder))
    return folder


@pytest.fixture
def bert(tmp_path: Path) -> Path:
    """BERT's vocabulary, lower-cased."""
    WordPieceConfig(vocab_size=200, lowercase=True).train(TEXTS).save(tmp_path / "ours")
    folder = tmp_path / "bert"
    folder.mkdir()
    library_of(tmp_path / "ours").model.save(str(folder))
    return folder


@pytest.mark.parametrize("name", ["", "vocab.json", "merges.txt"])
def test_pairs(gpt2: Path, name: str) -> None:
    ours = open_tokenizer(gpt2 / name)
    theirs = transformers.GPT2Tokenizer.from_pretrained(str(gpt2))
    assert ours.roles == {"padding": 0, "begin": 0, "end": 0}
    for text in [*TEXTS, *STRANGE]:
        ids = ours.encode(text).tolist()
        assert ids == theirs(text)["input_ids"]
        assert ours.decode(ids) == text


@pytest.mark.parametrize("name", ["", "vocab.txt"])
def test_word_pieces(bert: Path, name: str) -> None:
    ours = open_tokenizer(bert / name)
    theirs = transformers.BertTokenizer.from_pretrained(str(bert))
    assert ours.roles == {"padding": 0, "unknown": 1, "classify": 2, "separate": 3, "mask": 4}
    for text in [*TEXTS, *STRANGE]:
        if "[MASK]" not in text:  # which is text to us, and a token to them
            assert ours.encode(text).tolist() == theirs(text, add_special_tokens=False)["input_ids"], text


def test_case_is_as_the_folder_says_and_else_as_the_vocabulary_shows(bert: Path) -> None:
    lower, word = open_tokenizer(bert), "QUICK"
    assert lower.encode(word).tolist() == lower.encode(word.lower()).tolist()
    (bert / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": False}))
    assert open_tokenizer(bert).encode(word).tolist() != lower.encode(word).tolist()
    (bert / "tokenizer_config.json").unlink()
    (bert / "vocab.txt").write_text((bert / "vocab.txt").read_text() + "Quick\n")
    assert open_tokenizer(bert).encode(word).tolist() != lower.encode(word).tolist()


def test_a_library_file_of_any_name(gpt2: Path, tmp_path: Path) -> None:
    expected = open_tokenizer(gpt2)
    other = tmp_path / "mine.json"
    library = library_of(tmp_path / "ours")
    library.save(str(other))
    assert open_tokenizer(other).encode(TEXTS[0]).tolist() == expected.encode(TEXTS[0]).tolist()


def test_opened_ones_are_saved_as_ours(gpt2: Path, bert: Path, tmp_path: Path) -> None:
    for folder in (gpt2, bert):
        opened = FileConfig(path=str(folder)).train()
        opened.save(tmp_path / "saved" / folder.name)
        again = open_tokenizer(tmp_path / "saved" / folder.name)
        assert again.fingerprint == opened.fingerprint
        assert again.roles == opened.roles


def test_that_of_a_run_is_in_a_folder_below(bert: Path, tmp_path: Path) -> None:
    expected = open_tokenizer(bert)
    expected.save(tmp_path / "run" / "tokenizer")
    assert open_tokenizer(tmp_path / "run").fingerprint == expected.fingerprint


def damaged(folder: Path, name: str, content: str | None) -> Path:
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_text(content)
    return folder / "vocab.json" if (folder / "vocab.json").exists() else folder / name


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("merges.txt", None, "merges.txt beside it"),
        ("merges.txt", "a b c\n", "two pieces"),
        ("merges.txt", "x yy\n", "cannot read the tokenizer"),
        ("vocab.json", "[1]", "JSON object"),
        ("vocab.json", "{", "cannot read"),
    ],
)
def test_damaged_pairs(gpt2: Path, name: str, content: str | None, told: str) -> None:
    with pytest.raises(DataError, match=told):
        open_tokenizer(damaged(gpt2, name, content))


@pytest.mark.parametrize(("content", "told"), [("[UNK]\na\na\n", "twice"), ("a\nb\n", r"\[UNK\]")])
def test_damaged_word_pieces(bert: Path, content: str, told: str) -> None:
    with pytest.raises(DataError, match=told):
        open_tokenizer(damaged(bert, "vocab.txt", content))


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file or folder"):
        open_tokenizer(tmp_path / "gone")
    with pytest.raises(DataError, match="none of") as error:
        open_tokenizer(tmp_path)
    assert all(name in str(error.value) for name in FORMATS)
    (tmp_path / "notes.md").write_text("text")
    with pytest.raises(DataError, match="no tokenizer known here"):
        open_tokenizer(tmp_path / "notes.md")


@pytest.mark.parametrize("file", ["tokenizer_config.json", "config.json"])
def test_a_tokenizer_of_code_alone_is_refused_by_name(file: str, tmp_path: Path) -> None:
    (tmp_path / file).write_text(json.dumps({"tokenizer_class": "ByT5Tokenizer", "model_type": "t5"}))
    with pytest.raises(DataError, match="ByT5Tokenizer"):
        open_tokenizer(tmp_path)


def test_a_new_padding_token_takes_the_next_id(gpt2: Path) -> None:
    size = open_tokenizer(gpt2).vocab_size
    (gpt2 / "config.json").write_text(json.dumps({"model_type": "gpt2"}))
    (gpt2 / "tokenizer_config.json").write_text(json.dumps({"pad_token": "[PAD]"}))
    assert open_tokenizer(gpt2).roles["padding"] == size == len(theirs(gpt2)) - 1


def test_sentinels_of_t5_may_come_from_the_list_of_further_tokens(tmp_path: Path) -> None:
    FAMILIES["t5"](tmp_path)
    said = {"extra_ids": 0, "additional_special_tokens": ["<extra_id_0>", "<new>"], "tokenizer_class": "T5Tokenizer"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(said))
    ours, reference = open_tokenizer(tmp_path), theirs(tmp_path)
    assert ours.sentinels == (len(reference) - 2,)
    for text in ["x <extra_id_0> y", "<new> the fox"]:
        assert ours.framed(text).tolist() == reference(text)["input_ids"]
