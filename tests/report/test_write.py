"""From run folders to report files."""

import os
from pathlib import Path

import pytest

from tests.report.made_up import made_up_run
from tests.training.tiny import tiny_run
from zoo.errors import CheckpointError, ConfigError
from zoo.report import write as write_module
from zoo.report.write import read_runs, write_comparison, write_report, write_report_or_warn
from zoo.training.run import pretrain


@pytest.mark.parametrize("kind", ["bert", "t5", "experts"])
def test_every_run_ends_with_its_report(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    folder = pretrain(tiny_run(tmp_path, kind, "trainer.validate_every=2"), tmp_path / kind).folder
    assert f"report: {folder / 'report.html'}" in capsys.readouterr().err
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert "finished after 4 steps" in text
    assert "cannot be drawn" not in text
    assert "Not drawn" not in text
    assert text.count("data-weights") >= 2
    assert write_report(folder) == (folder / "report.html", [])
    assert (folder / "report.html").read_text(encoding="utf-8") == text, "made anew, it is the same"


def test_rebuilding_needs_the_folder_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing outside the run folder is opened: the text and the cache may be gone, the folder elsewhere."""
    folder = pretrain(tiny_run(tmp_path, "gpt"), tmp_path / "gpt").folder
    before = (folder / "report.html").read_text(encoding="utf-8")
    moved = folder.rename(tmp_path / "elsewhere")
    (tmp_path / "text.txt").unlink()
    monkeypatch.setenv("HOME", str(tmp_path / "nobody"))
    text = write_report(moved)[0].read_text(encoding="utf-8")
    assert text.count("data-weights") == before.count("data-weights") > 0


def test_report_that_fails_ends_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> str:
        raise RuntimeError("no ink")

    monkeypatch.setattr(write_module, "run_page", fail)
    with pytest.warns(UserWarning, match=r"no report was written \(no ink\); zoo report .* tries it again"):
        result = pretrain(tiny_run(tmp_path, "gpt"), tmp_path / "gpt")
    assert result.steps == 4
    assert (result.folder / "result.json").exists()
    assert not (result.folder / "report.html").exists()
    assert not list(result.folder.glob(".report*"))


def test_run_without_a_row_has_no_report(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    write_report_or_warn(tmp_path)
    assert not list(tmp_path.iterdir())
    assert not [one for one in recwarn if one.category is UserWarning]


def test_damaged_checkpoint_is_said_and_the_rest_is_drawn(tmp_path: Path) -> None:
    folder = pretrain(tiny_run(tmp_path, "gpt"), tmp_path / "gpt").folder
    for weights in folder.rglob("model.safetensors"):
        weights.write_bytes(b"nonsense")
    text = write_report(folder)[0].read_text(encoding="utf-8")
    assert "Not drawn" in text
    assert "Parameters and FLOPs" in text


def test_nothing_half_written_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = made_up_run(tmp_path / "gpt")
    write_report(folder)
    before = (folder / "report.html").read_bytes()

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(CheckpointError, match=r"cannot write .*No space left.*free some space"):
        write_report(folder)
    assert (folder / "report.html").read_bytes() == before
    assert not list(folder.glob(".report*"))


def test_comparison_makes_its_folder(tmp_path: Path) -> None:
    folders = [made_up_run(tmp_path / name) for name in ("a", "b")]
    path, remarks = write_comparison(folders, tmp_path / "deep" / "both.html")
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert remarks == []


def test_run_named_twice(tmp_path: Path) -> None:
    folder = made_up_run(tmp_path / "a")
    with pytest.raises(ConfigError, match="named twice"):
        read_runs([folder, tmp_path / "." / "a"])


def test_lightning_is_not_needed(tmp_path: Path) -> None:
    import subprocess
    import sys

    folder = made_up_run(tmp_path / "gpt")
    program = (
        "import sys; from pathlib import Path; from zoo.report.write import write_report\n"
        f"write_report(Path({str(folder)!r}))\n"
        "print(*sorted({'pytorch_lightning', 'wandb', 'datasets', 'transformers', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
