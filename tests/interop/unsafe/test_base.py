"""Pickles are read in weights-only mode, and nothing in them runs."""

import os
from pathlib import Path
from typing import Any

import pytest
import torch

from zoo.errors import CheckpointError
from zoo.interop.unsafe import UNSAFE
from zoo.interop.unsafe.base import candidates, read_pickle


class Trap:
    """Leaves a mark where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


def test_nothing_runs(tmp_path: Path) -> None:
    torch.save({"model": Trap(tmp_path / "mark"), "model_args": {}}, tmp_path / "ckpt.pt")
    with pytest.raises(CheckpointError, match="weights-only mode"):
        read_pickle(tmp_path / "ckpt.pt")
    for name in ("nanogpt", "llama2c"):
        with pytest.raises(CheckpointError, match="weights-only mode"):
            UNSAFE[name].read(tmp_path / "ckpt.pt")
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("is_archive", [True, False])
def test_what_a_file_names_is_told_and_what_to_do(is_archive: bool, tmp_path: Path) -> None:
    """In words of our own: torch's recommend opening the file unsafely."""
    path, said = tmp_path / "ckpt.pt", {"first": Path("/x"), "trap": Trap(tmp_path / "mark"), "t": torch.ones(2)}
    torch.save(said, path, _use_new_zipfile_serialization=is_archive)
    with pytest.raises(CheckpointError) as caught:
        read_pickle(path)
    told = str(caught.value)
    assert "it holds pathlib.PosixPath, posix.mkdir" in told if is_archive else "it holds pathlib.PosixPath" in told
    assert "save it again with nothing but tensors, numbers, text" in told
    for word in ("weights_only", "two options", "Re-running", "\x1b", "\n"):
        assert word not in told
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("content", [b"", b"garbage", b"PK\x03\x04 cut", b"<!DOCTYPE html>"])
def test_damaged_files_are_told(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "ckpt.pt").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"cannot read .*ckpt\.pt .*cut, damaged, or not what torch\.save writes"):
        read_pickle(tmp_path / "ckpt.pt")


def test_a_file_that_is_gone_is_told(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"cannot read .*absent\.pt: No such file"):
        read_pickle(tmp_path / "absent.pt")


def test_plain_values_and_tensors_are_read(tmp_path: Path) -> None:
    torch.save({"a": [1, "b", None], "t": torch.ones(2)}, tmp_path / "x.pt")
    said = read_pickle(tmp_path / "x.pt")
    assert said["a"] == [1, "b", None]
    assert torch.equal(said["t"], torch.ones(2))


def test_what_a_place_may_be_is_told_by_its_files(tmp_path: Path) -> None:
    """Every format that may open it, those first whose files are there."""
    folders = {
        "meta": "consolidated.00.pth",
        "pytorch": "pytorch_model.bin",
        "nanogpt": "ckpt.pt",
        "llama2c": "model.bin",
    }
    assert folders.keys() == {*UNSAFE}
    for name, file in folders.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / file).touch()
        found = candidates(tmp_path / name)
        assert found[0] == name
        assert {*found} == {*UNSAFE}
        alone = candidates(tmp_path / name / file)
        assert {*alone} == {"llama2c", "nanogpt"}
        assert name not in alone or alone[0] == name
