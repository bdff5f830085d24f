"""What lies beside a tokenizer.json is applied as transformers applies it: equal ids with every setting, or refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.tokenizer.families import FAMILIES, theirs
from tests.tokenizer.test_pipelines import ODD, folder_of
from zoo.errors import DataError
from zoo.tokenizer.foreign import open_tokenizer

TEXTS = [*ODD, "x <extra_id_0> y", "<new> the<new2>fox  <new>", "A [PAD] B", "a <image> b"]
NEW = {"content": "<new>", "lstrip": True, "rstrip": False, "normalized": False, "single_word": False}
MASK = {"content": "<mask>", "lstrip": True, "rstrip": False, "normalized": False, "single_word": False}
SETTINGS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "case": {"do_lower_case": False},
    "accents": {"do_lower_case": True, "strip_accents": False, "keep_accents": True, "tokenize_chinese_chars": False},
    "prefix": {"add_prefix_space": True},
    "no prefix": {"add_prefix_space": False, "legacy": True},
    "legacy": {"legacy": True, "trim_offsets": False},
    "more tokens": {"additional_special_tokens": ["<new>", NEW | {"content": "<new2>", "__type": "AddedToken"}]},
    "tokens with names": {"extra_special_tokens": {"image_token": "<image>"}, "video_token": "<new>"},
    "a new padding": {"pad_token": "[PAD]", "extra_special_tokens": ["<new2>"]},
    "other roles": {"mask_token": "the", "add_bos_token": True, "add_eos_token": True},
}
FILES: dict[str, dict[str, Any]] = {
    "special_tokens_map.json": {"mask_token": MASK, "additional_special_tokens": ["<new>"]},
    "added_tokens.json": {"<new>": -1},
    "added_tokens_decoder": NEW,
}
Saved = Callable[[str], Path]
LESS_OFTEN = ("roberta", "albert", "xlm-roberta")  # BART's are RoBERTa's, Marian's have older files alone
FAMILIES_HERE = [
    "bert",
    "gpt2",
    "qwen2",
    "t5",
    "llama",
    *(pytest.param(one, marks=pytest.mark.slow) for one in LESS_OFTEN),
]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Saved:
    """Family → a folder in which transformers saved its tokenizer.json."""
    root = tmp_path_factory.mktemp("saved")

    def folder(family: str) -> Path:
        if not (root / family).is_dir():
            (older := root / f"older-{family}").mkdir()
            folder_of("qwen2", "qwen2", older) if family == "qwen2" else FAMILIES[family](older)
            theirs(older).save_pretrained(root / family)
            shutil.copy(older / "config.json", root / family)
        return root / family

    return folder


def copied(saved: Saved, family: str, place: Path, **settings: Any) -> Path:
    shutil.copytree(saved(family), place)
    config = json.loads((place / "tokenizer_config.json").read_text())
    (place / "tokenizer_config.json").write_text(json.dumps(config | settings))
    return place


def check(folder: Path) -> None:
    ours, reference = open_tokenizer(folder), theirs(folder)
    assert ours.vocab_size == len(reference)
    for text in TEXTS:
        assert ours.framed(text).tolist() == reference(text)["input_ids"], text
        if "llama" not in str(folder):  # whose pairs have a frame of their own in each saved file
            assert ours.framed(text, "fox").tolist() == reference(text, "fox")["input_ids"], text


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("family", FAMILIES_HERE)
def test_settings_are_applied(family: str, settings: str, saved: Saved, tmp_path: Path) -> None:
    check(copied(saved, family, tmp_path / family, **SETTINGS[settings]))


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("family", FAMILIES_HERE)
def test_added_tokens_are_found(family: str, file: str, saved: Saved, tmp_path: Path) -> None:
    size = open_tokenizer(saved(family)).vocab_size
    if file == "added_tokens_decoder":
        listed = json.loads((saved(family) / "tokenizer.json").read_text())["added_tokens"]
        decoder = {str(token.pop("id")): token for token in listed} | {str(size): FILES[file]}
        folder = copied(saved, family, tmp_path / family, added_tokens_decoder=decoder)
    else:
        folder = copied(saved, family, tmp_path / family)
        (folder / file).write_text(json.dumps({k: size if v == -1 else v for k, v in FILES[file].items()}))
    check(folder)
    if file != "special_tokens_map.json":  # where what transformers has saved in tokenizer_config.json goes before it
        assert size in open_tokenizer(folder).prompt("<new>")


def test_a_generic_class_runs_the_file_as_it_is(saved: Saved, tmp_path: Path) -> None:
    folder = copied(saved, "bert", tmp_path / "bert", tokenizer_class="PreTrainedTokenizerFast", do_lower_case=False)
    assert open_tokenizer(folder).definition == (saved("bert") / "tokenizer.json").read_text()
    check(folder)


def test_a_file_that_its_class_would_make_itself_stays_as_it_is(saved: Saved) -> None:
    for family in ("bert", "gpt2", "llama"):
        opened = json.loads(open_tokenizer(saved(family)).definition)
        assert opened == json.loads((saved(family) / "tokenizer.json").read_text())


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"split_special_tokens": True}, "split_special_tokens"),
        ({"fix_mistral_regex": True}, "fix_mistral_regex"),
        ({"added_tokens_decoder": {"9999": NEW}}, "'<new>' has the id 9999"),
        ({"added_tokens_decoder": {"x": NEW}}, "whole number"),
        ({"added_tokens_decoder": {"5": {}}}, "content"),
        ({"added_tokens_decoder": []}, "added_tokens_decoder must be an object"),
        ({"additional_special_tokens": [3]}, "must be texts"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(said: dict[str, Any], told: str, saved: Saved, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=told):
        open_tokenizer(copied(saved, "gpt2", tmp_path / "gpt2", **said))


@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_special_tokens_that_a_vocabulary_lacks_get_ids_in_the_order_of_their_names(
    family: str, tmp_path: Path
) -> None:
    """Whatever order the file has, and whichever of them its class takes for granted."""
    FAMILIES[family](tmp_path)
    said = {"mask_token": "<m>", "pad_token": "<p>", "eos_token": "<e>", "bos_token": "<b>"}
    (tmp_path / "special_tokens_map.json").write_text(json.dumps(said))
    ours, other = open_tokenizer(tmp_path), theirs(tmp_path)
    ids = [other.convert_tokens_to_ids(token) for token in ("<b>", "<e>", "<p>", "<m>")]
    assert ids == sorted(ids)
    assert [ours.role(role) for role in ("begin", "end", "padding", "mask")] == ids
