"""The CSV log: neither a gap nor a duplicate, whatever a kill left behind."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.training.tiny import FULL
from zoo.errors import CheckpointError
from zoo.training import metrics_file
from zoo.training.metrics_file import MetricsFile, read_metrics

COLUMNS = ["step", "loss", "targets"]


def write_rows(path: Path, steps: range, after: int = 0) -> None:
    file = MetricsFile(path, COLUMNS, after)
    for step in steps:
        file.write({"step": step, "loss": 1 / step, "targets": step * 10_000_001})
    file.close()


def test_rows_are_read_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    write_rows(path, range(1, 4))
    assert path.read_text(encoding="utf-8").splitlines() == [
        "step,loss,targets", "1,1,10000001", "2,0.5,20000002", "3,0.333333,30000003",
    ]  # fmt: skip
    assert [row["loss"] for row in read_metrics(path)] == ["1", "0.5", "0.333333"]


def test_blank_where_there_is_nothing_to_say(tmp_path: Path) -> None:
    file = MetricsFile(tmp_path / "metrics.csv", COLUMNS, 0)
    file.write({"step": 1, "loss": float("nan")})
    file.write({"step": 2, "targets": 3})
    file.close()
    assert read_metrics(tmp_path / "metrics.csv") == [
        {"step": "1", "loss": "nan", "targets": ""},
        {"step": "2", "loss": "", "targets": "3"},
    ]


def test_column_that_is_not_there_is_a_mistake_of_ours(tmp_path: Path) -> None:
    file = MetricsFile(tmp_path / "metrics.csv", COLUMNS, 0)
    with pytest.raises(ValueError, match="other"):
        file.write({"step": 1, "other": 2.0})


def test_every_row_is_there_at_once(tmp_path: Path) -> None:
    file = MetricsFile(tmp_path / "metrics.csv", COLUMNS, 0)
    file.write({"step": 1, "loss": 2.0})
    assert len(read_metrics(tmp_path / "metrics.csv")) == 1
    file.close()


@given(cut=st.integers(0, 200), after=st.integers(0, 9))
def test_file_cut_anywhere_goes_on(cut: int, after: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A kill may tear the last lines, never those up to the checkpoint: they were whole before it was written."""
    folder = tmp_path_factory.mktemp("cut")
    unbroken, path = folder / "unbroken.csv", folder / "metrics.csv"
    write_rows(unbroken, range(1, 13))
    whole = unbroken.read_text(encoding="utf-8")
    lines = whole.splitlines(keepends=True)
    safe = len("".join(lines[: after + 1]))
    path.write_text(whole[: max(cut, safe)], encoding="utf-8")
    write_rows(path, range(after + 1, 13), after)
    assert path.read_text(encoding="utf-8").splitlines() == whole.splitlines()
    assert [entry.name for entry in sorted(folder.iterdir())] == ["metrics.csv", "unbroken.csv"]


def test_started_anew_it_is_empty(tmp_path: Path) -> None:
    write_rows(tmp_path / "metrics.csv", range(1, 5))
    write_rows(tmp_path / "metrics.csv", range(0), after=0)
    assert read_metrics(tmp_path / "metrics.csv") == []


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no metrics at .*is this a run folder"):
        read_metrics(tmp_path / "metrics.csv")


@pytest.mark.skipif(not FULL.exists(), reason="Linux only")
def test_full_disk_is_said_with_the_file_and_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "metrics.csv"
    told = rf"cannot write {path}: No space left on device; free some space"
    (tmp_path / ".metrics.csv.tmp").symlink_to(FULL)
    with pytest.raises(CheckpointError, match=told):
        MetricsFile(path, COLUMNS, 0)
    monkeypatch.setattr(metrics_file, "replace_file", lambda path, text: path.symlink_to(FULL))
    file = MetricsFile(path, COLUMNS, 0)
    with pytest.raises(CheckpointError, match=told):
        file.write({"step": 1, "loss": 2.0})
    with pytest.raises(CheckpointError, match=told):
        file.close()
