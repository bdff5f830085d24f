"""The recipes: short, and each of them runs, here on a small text and with small models."""

import importlib
import re
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch

from recipes import demo
from tests.conftest import ROOT
from tests.training.tiny import shrink
from zoo.errors import ConfigError
from zoo.training.interrupt import Interrupted

NAMES = sorted(path.stem for path in (ROOT / "recipes").glob("*.py") if path.stem != "__init__")
PIPELINES = [name for name in NAMES if name != "demo"]


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One thread, and a folder of its own for whatever is written."""
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


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
    for words in ("BERT", "GPT", "T5", "parameters", "loss first → last", "tokens/s", "minutes"):
        assert words in said
    assert re.search(r"\d\.\d\d → \d\.\d\d", said)
    assert (tmp_path / demo.PICTURE).read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["demo", "demo-bert", "demo-gpt", "demo-t5"]


@pytest.mark.parametrize(
    "error, words", [(Interrupted(2, 7), "stopped by Ctrl-C after step 7"), (ConfigError("no", "a"), "error: a: no")]
)
def test_demo_ends_in_a_sentence(error: Exception, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise error

    monkeypatch.setattr("zoo.training.shipped.load_run", fail)
    for name in ("demo", *demo.FAMILIES):
        monkeypatch.delitem(sys.modules, f"recipes.{name}", raising=False)
    for module in demo.FAMILIES.values():
        monkeypatch.setattr(module, "load_run", fail)
    monkeypatch.setattr(sys, "argv", ["demo"])
    with pytest.raises(SystemExit, match=words):
        runpy.run_module("recipes.demo", run_name="__main__")
