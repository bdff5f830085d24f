"""What a training checkpoint says of the run."""

from pathlib import Path

import pytest

from zoo.checkpoint.standing import NAME, RunStanding, read_standing, write_standing
from zoo.errors import CheckpointError


def test_is_read_as_it_was_written(tmp_path: Path) -> None:
    standing = RunStanding("validation/loss", [(40, 3.25), (20, 3.5)], "long enough")
    write_standing(tmp_path, standing)
    assert read_standing(tmp_path) == standing


def test_checkpoint_without_it_knows_no_best(tmp_path: Path) -> None:
    assert read_standing(tmp_path) == RunStanding("", [], "")


@pytest.mark.parametrize("text", ["{}", "[]", '{"metric": "x", "best": [1], "ended": ""}', "no json"])
def test_damage_is_said(text: str, tmp_path: Path) -> None:
    (tmp_path / NAME).write_text(text, encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"standing\.json"):
        read_standing(tmp_path)
