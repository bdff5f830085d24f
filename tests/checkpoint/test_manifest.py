"""Every kind of damage to a folder is found, and the message names the file."""

import json
import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from zoo.checkpoint import manifest as manifests
from zoo.checkpoint.folder import verify_folder, write_folder
from zoo.checkpoint.manifest import legal_name, read_manifest
from zoo.errors import CheckpointError

FORMAT = "test"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with two files of one size, one file in an inner folder, and its manifest."""

    def write(path: Path) -> None:
        (path / "one.bin").write_bytes(bytes(range(200)))
        (path / "two.bin").write_bytes(bytes(reversed(range(200))))
        (path / "inner").mkdir()
        (path / "inner" / "three.bin").write_bytes(b"three")

    write_folder(tmp_path / "step-1", write, format=FORMAT)
    return tmp_path / "step-1"


def refused(folder: Path, reason: str, **options: bool) -> str:
    with pytest.raises(CheckpointError, match=reason) as caught:
        verify_folder(folder, format=FORMAT, **options)
    assert str(folder) in str(caught.value)
    return str(caught.value)


# --------------------------------------------------------------------------------------------------------------- files


@pytest.mark.parametrize("size", [199, 100, 0])
def test_a_truncated_file(folder: Path, size: int) -> None:
    os.truncate(folder / "one.bin", size)
    refused(folder, f"one.bin has {size} bytes instead of 200")
    refused(folder, "one.bin", contents=False)


def test_a_longer_file(folder: Path) -> None:
    with (folder / "one.bin").open("ab") as file:
        file.write(b"x")
    refused(folder, "one.bin has 201 bytes instead of 200")


def test_every_flipped_bit(folder: Path) -> None:
    original = (folder / "one.bin").read_bytes()
    generator = random.Random(0)
    for _ in range(100):
        damaged = bytearray(original)
        damaged[generator.randrange(200)] ^= 1 << generator.randrange(8)
        (folder / "one.bin").write_bytes(damaged)
        refused(folder, "one.bin has another content")
    verify_folder(folder, format=FORMAT, contents=False)  # names and sizes still fit
    (folder / "one.bin").write_bytes(original)
    verify_folder(folder, format=FORMAT)


def test_two_swapped_files(folder: Path) -> None:
    (folder / "one.bin").rename(folder / "x")
    (folder / "two.bin").rename(folder / "one.bin")
    (folder / "x").rename(folder / "two.bin")
    message = refused(folder, "one.bin has another content")
    assert "two.bin has another content" in message


def test_a_missing_file_a_missing_inner_folder_and_an_extra_file(folder: Path) -> None:
    (folder / "one.bin").unlink()
    (folder / "inner" / "three.bin").unlink()
    (folder / "inner").rmdir()
    (folder / "extra.bin").write_bytes(b"")
    message = refused(folder, "one.bin is missing")
    assert "inner/three.bin is missing" in message
    assert "extra.bin is not in the manifest" in message
    assert "use another checkpoint" in message


@pytest.mark.parametrize(
    "damage, reason",
    [
        (lambda folder: (folder / "link").symlink_to("/etc/hostname"), "link is a symbolic link"),
        (lambda folder: (folder / "link").symlink_to("inner"), "link is a symbolic link"),
        (lambda folder: os.mkfifo(folder / "pipe"), "pipe is not a plain file"),
        (lambda folder: (folder / "empty").mkdir(), "empty is an empty folder"),
        (lambda folder: (folder / ".hidden").write_text(""), "'.hidden' in .* is no name"),
        (lambda folder: (folder / "inner" / "manifest.json").write_text("{}"), "inner/manifest.json is not in the man"),
        (lambda folder: (folder / "a/b/c/d/e/f/g/h/i").mkdir(parents=True), "is no name of a checkpoint's file"),
    ],
)
def test_what_no_checkpoint_has(folder: Path, damage: Callable[[Path], object], reason: str) -> None:
    damage(folder)
    refused(folder, reason)


def test_a_file_that_became_a_link_to_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    (folder / "one.bin").rename(tmp_path / "elsewhere")
    (folder / "one.bin").symlink_to(tmp_path / "elsewhere")
    refused(folder, "one.bin is a symbolic link")


def test_what_macos_leaves_behind_does_not_matter(folder: Path) -> None:
    (folder / ".DS_Store").write_text("x")
    verify_folder(folder, format=FORMAT)
    (folder / ".DS_Store").unlink()
    (folder / ".DS_Store").symlink_to("one.bin")
    refused(folder, "DS_Store")


def test_too_many_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifests, "MAX_FILES", 2)
    refused(folder, "more than 2 files")


# ------------------------------------------------------------------------------------------------------------- manifest


def rewrite(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = folder / "manifest.json"
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


def test_no_folder_no_manifest_an_empty_folder_a_file(folder: Path, tmp_path: Path) -> None:
    refused(tmp_path / "nowhere", "no checkpoint at .*nowhere: there is no such folder")
    refused(folder / "one.bin", "no such folder")
    (folder / "manifest.json").unlink()
    refused(folder, "is no whole checkpoint: it has no manifest.json")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "no manifest.json")


@pytest.mark.parametrize(
    "content", [b"", b"\x00" * 100, b"{", b"[]", b"null", b"{}", b'{"format": "test"}', b"\xff\xfe"]
)
def test_a_manifest_of_garbage(folder: Path, content: bytes) -> None:
    (folder / "manifest.json").write_bytes(content)
    refused(folder, "manifest.json is damaged")


def test_a_manifest_that_is_a_link_a_folder_or_huge(folder: Path, tmp_path: Path) -> None:
    path = folder / "manifest.json"
    content = path.read_bytes()
    path.write_bytes(content + b" " * manifests.MAX_MANIFEST_BYTES)
    refused(folder, "at most 4,194,304 are read")
    path.rename(tmp_path / "elsewhere.json")
    path.symlink_to(tmp_path / "elsewhere.json")
    refused(folder, "manifest.json: .*symbolic links; a checkpoint holds plain files only")
    path.unlink()
    path.mkdir()
    refused(folder, "manifest.json: Is a directory")


def test_a_newer_version(folder: Path) -> None:
    rewrite(folder, lambda data: data.update(version=2, something_new=1))
    refused(folder, "has version 2, this zoo reads up to version 1; upgrade")


@pytest.mark.parametrize("version", [0, -1, 1.0, "1", None, True])
def test_a_version_that_is_none(folder: Path, version: object) -> None:
    rewrite(folder, lambda data: data.update(version=version))
    refused(folder, "manifest.json is damaged")


def test_another_format(folder: Path) -> None:
    rewrite(folder, lambda data: data.update(format="other"))
    refused(folder, "is a 'other' folder, not 'test'")


@pytest.mark.parametrize(
    "name",
    [
        "../outside",
        "/etc/hostname",
        "inner/../one.bin",
        "./one.bin",
        "inner//three.bin",
        "inner/",
        "",
        "a\x00b",
        "a\nb",
        "a\\b",
        "C:one",
        "~",
        "one.bin\n",
        "x" * 256,
        "/".join("a" * 9),
        "ä",
        "-rf",
    ],
)
def test_a_name_that_leads_outside_or_is_strange(folder: Path, name: str) -> None:
    assert not legal_name(name)
    rewrite(folder, lambda data: data["files"].update({name: data["files"]["one.bin"]}))
    assert repr(name) in refused(folder, "no plain name inside the folder")


@pytest.mark.parametrize(
    "row",
    [
        None,
        [],
        {"size": 200},
        {"size": -1, "sha256": "0" * 64},
        {"size": True, "sha256": "0" * 64},
        {"size": 200.0, "sha256": "0" * 64},
        {"size": 200, "sha256": "0" * 63},
        {"size": 200, "sha256": "A" * 64},
        {"size": 200, "sha256": 5},
        {"size": 200, "sha256": "0" * 64, "_target_": "os.system"},
    ],
)
def test_a_row_that_is_none(folder: Path, row: object) -> None:
    rewrite(folder, lambda data: data["files"].update({"one.bin": row}))
    refused(folder, "its entry for one.bin")


def test_an_unknown_key(folder: Path) -> None:
    rewrite(folder, lambda data: data.update(_target_="os.system"))
    refused(folder, "and nothing else")


def test_no_flipped_bit_of_a_manifest_goes_unseen(folder: Path) -> None:
    path = folder / "manifest.json"
    original, expected = path.read_bytes(), verify_folder(folder, format=FORMAT)
    for position in range(len(original)):
        damaged = bytearray(original)
        damaged[position] ^= 1 << (position % 8)
        path.write_bytes(damaged)
        try:
            assert verify_folder(folder, format=FORMAT) == expected  # white space that became other white space
            assert chr(original[position]).isspace()
        except CheckpointError:
            pass


def test_ten_thousand_files_are_read_in_a_moment(tmp_path: Path) -> None:
    files = {f"file-{number}": {"size": 1, "sha256": "0" * 64} for number in range(10_000)}
    (tmp_path / "manifest.json").write_text(json.dumps({"format": FORMAT, "version": 1, "files": files}))
    start = time.process_time()
    assert len(read_manifest(tmp_path, FORMAT).files) == 10_000
    message = refused(tmp_path, "file-0 is missing")
    assert "and 9995 more" in message
    assert time.process_time() - start < 30
