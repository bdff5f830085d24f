"""The recipes: short, and each of them runs, here on a small text and with small models."""

import importlib
import re
import runpy
import sys
from pathlib import Path
from types import ModuleType

import pytest

from recipes import demo
from recipes.command_line import run
from tests.conftest import ROOT
from tests.training.tiny import shrink
from zoo.errors import ConfigError, DataError
from zoo.training.interrupt import Interrupted
from zoo.training.run import Result

NAMES = sorted({path.stem for path in (ROOT / "recipes").glob("*.py")} - {"__init__", "command_line"})
PIPELINES = [name for name in NAMES if name != "demo"]


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For whatever is written."""
    monkeypatch.chdir(tmp_path)


def recipe(name: str) -> ModuleType:
    return importlib.import_module(f"recipes.{name}")


@pytest.mark.parametrize("name", NAMES)
def test_is_short_and_opens_with_what_it_is_and_the_command(name: str) -> None:
    text = (ROOT / "recipes" / f"{name}.py").read_text(encoding="utf-8")
    assert len(text.splitlines()) < 120
    assert f"python -m recipes.{name}" in (recipe(name).__doc__ or "")


@pytest.mark.parametrize("name", PIPELINES)
def test_says_what_it_reproduces(name: str) -> None:
    assert re.search(r"arXiv|Radford|nanoGPT", recipe(name).__doc__ or "")


@pytest.mark.parametrize("name", PIPELINES)
def test_runs(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = shrink(tmp_path, "file" if name == "gpt_shakespeare" else "blank_line")
    result = recipe(name).main(settings)
    said = capsys.readouterr().out
    assert result.steps == 2
    assert len(said.splitlines()) >= 3
    again = recipe(name).main(settings)
    assert again == result._replace(already_finished=True)
    assert capsys.readouterr().out == said  # what it was tried with gives the same again


def test_demo_runs_all_three_and_shows_a_table_and_a_picture(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    demo.main(shrink(tmp_path))
    said = capsys.readouterr().out
    assert re.search(r"BERT \(encoder\): the sum of masked_lm \d.\d{3} and next_sentence \d.\d{3}", said)
    for words in ("BERT", "GPT", "T5", "parameters", "loss first → last", "tokens/s", "minutes"):
        assert words in said
    assert re.search(r"\d\.\d\d → \d\.\d\d", said)
    assert (tmp_path / demo.PICTURE).read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["demo", "demo-bert", "demo-gpt", "demo-t5"]


def test_demo_says_what_a_loss_is_the_sum_of() -> None:
    result = Result(Path("runs/a"), 1, 1, 1, 1.0, 9.0, {"validation/loss": 6.5, "validation/masked_lm/loss": 5.9})
    assert demo.sums({"GPT": result}) == []
    metrics = {**result.metrics, "validation/next_sentence/loss": 0.6, "validation/next_sentence/accuracy": 0.5}
    assert demo.sums({"BERT": result._replace(metrics=metrics)}) == [
        "BERT: the sum of masked_lm 5.900 and next_sentence 0.600"
    ]


# --------------------------------------------------------------------------------------------------------- command line


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str, error: BaseException | None = None) -> tuple[object, ...]:
    """What a recipe is called with for these arguments; it ends in an error where one is given."""
    calls: list[tuple[object, ...]] = []

    def main(overrides: list[str], *, fresh: bool = False) -> None:
        calls.append((overrides, fresh))
        if error is not None:
            raise error

    monkeypatch.setattr(sys, "argv", ["recipe", *arguments])
    run(main, "About.")
    return calls[0] if calls else ()


def test_settings_and_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    assert call(monkeypatch, "a=1", "b=2") == (["a=1", "b=2"], False)
    assert call(monkeypatch, "a=1", "--fresh") == (["a=1"], True)


def test_help_says_what_it_is_and_runs_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "--help") == ()
    assert capsys.readouterr().out.startswith("About.\n\nOptions: --fresh")


@pytest.mark.parametrize(
    "error, status, words",
    [
        (Interrupted(2, 7), 130, "stopped by Ctrl-C after step 7"),
        (KeyboardInterrupt(), 130, "stopped by Ctrl-C"),
        (ConfigError("no", "a"), 2, "error: a: no"),
        (DataError("no text"), 1, "error: no text"),
    ],
)
def test_recipe_ends_in_a_sentence(
    error: BaseException, status: int, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        call(monkeypatch, error=error)
    assert ended.value.code == status
    assert capsys.readouterr().err.startswith(words)


@pytest.mark.parametrize("name", NAMES)
def test_recipe_reads_its_command_line(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    runpy.run_path(str(ROOT / "recipes" / f"{name}.py"), run_name="__main__")
    assert f"python -m recipes.{name}" in capsys.readouterr().out
