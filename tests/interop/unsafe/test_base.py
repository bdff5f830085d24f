"""Pickles are read in weights-only mode, and nothing in them runs."""

import os
from pathlib import Path
from typing import Any

import pytest
import torch

from zoo.errors import CheckpointError
from zoo.interop.unsafe import UNSAFE
from zoo.interop.unsafe.base import read_pickle


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
            UNSAFE[name](tmp_path / "ckpt.pt")
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("content", [b"", b"garbage", b"PK\x03\x04 cut"])
def test_damaged_files_are_told(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "ckpt.pt").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"cannot read .*ckpt\.pt"):
        read_pickle(tmp_path / "ckpt.pt")


def test_plain_values_and_tensors_are_read(tmp_path: Path) -> None:
    torch.save({"a": [1, "b", None], "t": torch.ones(2)}, tmp_path / "x.pt")
    said = read_pickle(tmp_path / "x.pt")
    assert said["a"] == [1, "b", None]
    assert torch.equal(said["t"], torch.ones(2))
