"""No file of a tokenizer is read through a link that leads out of its folder; those of the hub's cache are followed."""

import json
from pathlib import Path

import pytest

from tests.tokenizer.families import FAMILIES
from zoo.errors import CheckpointError, DataError
from zoo.tokenizer.foreign import open_tokenizer
from zoo.tokenizer.links import followed

TAKEN = ("bert", "gpt2", "t5", "marian")
EMPTY = ("special_tokens_map.json", "added_tokens.json", "generation_config.json", "tokenizer_config.json")


def folder_of(family: str, folder: Path) -> Path:
    """With every file that is read of a tokenizer, one of the library's included for "json"."""
    folder.mkdir(parents=True)
    FAMILIES["bert" if family == "json" else family](folder)
    for name in EMPTY:
        if not (folder / name).exists():
            (folder / name).write_text("{}")
    if family == "json":
        (folder / "tokenizer.json").write_text(open_tokenizer(folder).definition)
        (folder / "vocab.txt").unlink()
    return folder


@pytest.mark.parametrize("family", [*TAKEN, "json"])
def test_a_link_out_of_the_folder_is_refused(family: str, tmp_path: Path) -> None:
    folder = folder_of(family, tmp_path / "folder")
    before = open_tokenizer(folder).fingerprint
    outside = tmp_path / "outside"
    names = sorted(path.name for path in folder.iterdir() if path.name != "target.spm")  # which nobody reads
    assert set(EMPTY) < set(names)
    for name in names:
        (folder / name).rename(outside)
        (folder / name).symlink_to(outside)
        with pytest.raises(DataError, match=rf"{name} is a link that leads out of its folder"):
            open_tokenizer(folder)
        (folder / name).unlink()
        outside.rename(folder / name)
    assert open_tokenizer(folder).fingerprint == before


@pytest.mark.parametrize("family", [*TAKEN, "json"])
def test_links_of_the_hubs_cache_are_followed(family: str, tmp_path: Path) -> None:
    entry = tmp_path / "models--owner--small"
    folder = folder_of(family, entry / "snapshots" / "0123")
    before = open_tokenizer(folder).fingerprint
    (entry / "blobs").mkdir()
    for number, path in enumerate(sorted(folder.iterdir())):
        path.rename(entry / "blobs" / str(number))
        path.symlink_to(Path("..", "..", "blobs", str(number)))
    assert open_tokenizer(folder).fingerprint == before


def test_a_folder_on_the_way_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "config.json").write_text("{}")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "1_Pooling").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CheckpointError, match="leads out"):
        followed(tmp_path / "folder", "1_Pooling/config.json", CheckpointError)
    folder_of("json", tmp_path / "other")
    (tmp_path / "folder" / "tokenizer").symlink_to(tmp_path / "other")
    with pytest.raises(DataError, match="leads out"):
        open_tokenizer(tmp_path / "folder")


def test_the_folder_itself_may_be_a_link(tmp_path: Path) -> None:
    folder = folder_of("json", tmp_path / "folder")
    (tmp_path / "named").symlink_to(folder)
    assert open_tokenizer(tmp_path / "named").fingerprint == open_tokenizer(folder).fingerprint
    assert json.loads(followed(tmp_path / "named", "config.json").read_text())["model_type"] == "bert"
