"""What is recorded of where a run came from."""

import json
from pathlib import Path

import pytest

from zoo.errors import CheckpointError
from zoo.training.origin import FILE_NAME, read_origin, record, refuse_unfinished_branch


def test_entries_add_up(tmp_path: Path) -> None:
    assert read_origin(tmp_path) == {}
    record(tmp_path, extended=[1])
    record(tmp_path, branched={"run": "x", "step": 3})
    assert read_origin(tmp_path) == {"extended": [1], "branched": {"run": "x", "step": 3}}
    assert json.loads((tmp_path / FILE_NAME).read_text(encoding="utf-8")) == read_origin(tmp_path)


def test_damaged_record_is_refused(tmp_path: Path) -> None:
    for text in ("[1]", "{", "7"):
        (tmp_path / FILE_NAME).write_text(text, encoding="utf-8")
        with pytest.raises(CheckpointError, match="damaged"):
            read_origin(tmp_path)


def test_branch_without_its_checkpoint_is_not_a_new_run(tmp_path: Path) -> None:
    refuse_unfinished_branch(tmp_path)
    record(tmp_path, extended=[])
    refuse_unfinished_branch(tmp_path)
    record(tmp_path, branched={"run": "runs/a", "step": 3})
    with pytest.raises(CheckpointError, match=r"branch of runs/a but has no checkpoint .* zoo branch command again"):
        refuse_unfinished_branch(tmp_path)
