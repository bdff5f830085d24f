"""Each family's tokenizer gives transformers' ids, special tokens around the text included, from old and new files."""

import json
import shutil
import warnings
from pathlib import Path

import pytest

from tests.tokenizer.families import FAMILIES, PROBES, sentencepiece_model, theirs
from zoo.errors import DataError
from zoo.tokenizer.foreign import open_tokenizer
from zoo.tokenizer.tokenizer import Tokenizer


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param not in ("bert", "gpt2", "roberta", "bart"):
        pytest.importorskip("sentencepiece", reason="the package sentencepiece is not installed")
    FAMILIES[request.param](tmp_path)
    return str(request.param)


def probes(family: str) -> list[str]:
    mask = {"bert": "[MASK]", "albert": "[MASK]", "roberta": "<mask>", "bart": "<mask>"}.get(family)
    marked = [f"the {mask} fox"] if mask else ["the <extra_id_0> fox"] if family == "t5" else []
    # Marian's words of the other language, and of none.
    return [*PROBES, *marked, *([">>de<< the fox"] if family == "marian" else [])]


def test_ids_are_theirs_from_the_older_files(family: str, tmp_path: Path) -> None:
    ours, other = open_tokenizer(tmp_path), opened(tmp_path)
    for text in probes(family):
        assert ours.framed(text).tolist() == other(text)["input_ids"], text
    assert ours.is_framed == (family != "gpt2")


def test_ids_are_theirs_from_what_transformers_saves(family: str, tmp_path: Path) -> None:
    if family == "marian":
        pytest.skip("transformers keeps Marian's tokenizer in the older files alone")
    saved = tmp_path / "saved"
    opened(tmp_path).save_pretrained(saved)
    shutil.copy(tmp_path / "config.json", saved)
    ours, other = open_tokenizer(saved), theirs(saved)
    assert (saved / "tokenizer.json").is_file()
    for text in probes(family):
        assert ours.framed(text).tolist() == other(text)["input_ids"], text
    pair = other("the fox", "the dog")["input_ids"]
    assert ours.framed("the fox", "the dog").tolist() == pair
    old = open_tokenizer(tmp_path)
    assert all(old.roles[role] == id for role, id in ours.roles.items() if role in old.roles)


def test_what_is_opened_is_saved_as_ours(family: str, tmp_path: Path) -> None:
    ours = open_tokenizer(tmp_path)
    ours.save(tmp_path / "ours")
    again = Tokenizer.load(tmp_path / "ours")
    assert again.fingerprint == ours.fingerprint
    assert again.roles == ours.roles
    assert [again.framed(text).tolist() for text in PROBES] == [ours.framed(text).tolist() for text in PROBES]


ROLES = {
    "bert": {"padding", "unknown", "classify", "separate", "mask"},
    "gpt2": {"padding", "begin", "end"},
    "roberta": {"padding", "unknown", "begin", "end", "classify", "separate", "mask"},
    "t5": {"padding", "unknown", "end"},
    "llama": {"unknown", "begin", "end"},
    "marian": {"padding", "unknown", "end"},
}


def test_roles_from_the_older_files(family: str, tmp_path: Path) -> None:
    if family in ROLES:
        assert {*open_tokenizer(tmp_path).roles} == ROLES[family]


def test_added_tokens_take_the_ids_that_come_next(tmp_path: Path) -> None:
    FAMILIES["gpt2"](tmp_path)
    size = open_tokenizer(tmp_path).vocab_size
    (tmp_path / "added_tokens.json").write_text(json.dumps({"<b>": size + 1, "<a>": size}))
    assert open_tokenizer(tmp_path).prompt("<a><b>").tolist() == [size, size + 1]
    (tmp_path / "added_tokens.json").write_text(json.dumps({"<a>": size + 5}))
    with pytest.raises(DataError, match=f"'<a>' has the id {size + 5} there, but {size} would be its own"):
        open_tokenizer(tmp_path)


@pytest.mark.parametrize("said", [{"add_bos_token": False}, {"add_eos_token": True}, {}])
def test_what_is_added_can_be_said(said: dict[str, bool], tmp_path: Path) -> None:
    pytest.importorskip("sentencepiece", reason="the package sentencepiece is not installed")
    FAMILIES["llama"](tmp_path)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text()) | said
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    assert open_tokenizer(tmp_path).framed("the fox").tolist() == theirs(tmp_path)("the fox")["input_ids"]


SPELT_OUT = ["the [MASK] fox", "x<unk>y [UNK]", "</s> <s>the", "a<pad>b [PAD]", "<mask> <e>", "<<pad>> a"]


@pytest.mark.parametrize("said", [{"pad_token": "[PAD]"}, {"mask_token": "[MASK]"}, {"unk_token": "[UNK]"}])
@pytest.mark.parametrize("name", ["albert", "llama", "marian", "t5", "xlm-roberta"])
def test_tokens_may_be_others_than_those_of_the_class(name: str, said: dict[str, str], tmp_path: Path) -> None:
    pytest.importorskip("sentencepiece", reason="the package sentencepiece is not installed")
    if name == "marian" and "unk_token" in said:
        said = {"eos_token": "<e>"}  # its list of pieces must have the unknown
    FAMILIES[name](tmp_path)
    file = tmp_path / "tokenizer_config.json"
    file.write_text(json.dumps({**(json.loads(file.read_text()) if file.is_file() else {}), **said}))
    ours, other = open_tokenizer(tmp_path), opened(tmp_path)
    for text in [*PROBES, *SPELT_OUT]:
        assert ours.framed(text).tolist() == other(text)["input_ids"], text


def test_a_token_of_the_class_that_nothing_has_is_not_added(tmp_path: Path) -> None:
    """transformers adds it behind the vocabulary, where the model has no row for it."""
    pytest.importorskip("sentencepiece", reason="the package sentencepiece is not installed")
    special = {"pad_id": 0, "unk_id": 1, "bos_id": -1, "eos_id": -1}
    sentencepiece_model(tmp_path / "spiece.model", control_symbols=["[CLS]", "[SEP]", "<mask>"], **special)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "albert"}))
    unnamed = open_tokenizer(tmp_path)
    assert unnamed.vocab_size == len(theirs(tmp_path)) - 1
    assert "mask" not in unnamed.roles
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"mask_token": "<mask>"}))
    named, other = open_tokenizer(tmp_path), theirs(tmp_path)
    assert named.vocab_size == len(other)
    assert named.framed("the <mask> [MASK]").tolist() == other("the <mask> [MASK]")["input_ids"]


def test_xlm_roberta_begins_and_ends_a_text_whatever_classifies_and_separates(tmp_path: Path) -> None:
    pytest.importorskip("sentencepiece", reason="the package sentencepiece is not installed")
    FAMILIES["xlm-roberta"](tmp_path)
    said = {"tokenizer_class": "XLMRobertaTokenizer", "cls_token": "▁the", "sep_token": "<mask>"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(said))
    ours, other = open_tokenizer(tmp_path), theirs(tmp_path)
    assert ours.framed("quick fox", "dog").tolist() == other("quick fox", "dog")["input_ids"]


def test_longformers_for_long_outputs_have_the_frame_of_roberta(tmp_path: Path) -> None:
    FAMILIES["roberta"](tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "led", "tokenizer_class": "LEDTokenizer"}))
    ours, other = open_tokenizer(tmp_path), theirs(tmp_path)
    assert ours.framed("the fox", "the dog").tolist() == other("the fox", "the dog")["input_ids"]


@pytest.mark.parametrize("name", ["mbart", "m2m100"])
def test_families_whose_ids_are_their_own_are_refused(name: str, tmp_path: Path) -> None:
    pytest.importorskip("sentencepiece", reason="the package sentencepiece is not installed")
    FAMILIES["xlm-roberta"](tmp_path)
    (tmp_path / "tokenizer_config.json").unlink()
    (tmp_path / "config.json").write_text(json.dumps({"model_type": name}))
    with pytest.raises(DataError, match=f"{name} has other ids than its tokenizer; open the folder with transformers"):
        open_tokenizer(tmp_path)


def test_damaged_files_of_marian(tmp_path: Path) -> None:
    pytest.importorskip("sentencepiece", reason="the package sentencepiece is not installed")
    FAMILIES["marian"](tmp_path)
    (tmp_path / "vocab.json").write_text(json.dumps({"</s>": 0, "<unk>": 2}))
    with pytest.raises(DataError, match=r"vocab\.json must give each piece an id of its own"):
        open_tokenizer(tmp_path)
    (tmp_path / "vocab.json").unlink()
    with pytest.raises(DataError, match=r"needs vocab\.json beside it"):
        open_tokenizer(tmp_path)


def opened(folder: Path) -> object:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that sacremoses is recommended
        return theirs(folder)
