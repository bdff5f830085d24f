"""The README tells the truth: its files exist, its Python runs, its commands are known."""

from __future__ import annotations

import contextlib
import re
import shlex
from pathlib import Path

import pytest

import zoo
from tests.training.tiny import shrink
from zoo.cli.main import VERBS, main
from zoo.training.shipped import load_run

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    """The text below a heading, up to the next one."""
    return README.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


def test_named_files_exist() -> None:
    named = set(re.findall(r"`((?:zoo|recipes|configs|tests)/[\w./-]*)`", README))
    assert named
    assert not [name for name in named if not (ROOT / name).exists()]


def test_shipped_configs_that_are_named_exist() -> None:
    from zoo.training.shipped import shipped_configs

    for name in re.findall(r"zoo (?:pretrain|config) ([\w.-]+)", README):
        assert name in shipped_configs(), name


def test_verbs_are_known() -> None:
    verbs = set(re.findall(r"^\$? ?zoo (\w+)", README, flags=re.MULTILINE))
    assert verbs
    assert not verbs - {*VERBS}


def test_first_lines_of_python_run(capsys: pytest.CaptureFixture[str]) -> None:
    code = section("First lines of Python").split("```python")[1].split("```")[0]
    exec(compile(code, "README.md", "exec"), {})
    assert "bert-base" in capsys.readouterr().out


@pytest.fixture(scope="module")
def after_the_demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the demo has run, with small models and a few steps."""
    folder = tmp_path_factory.mktemp("readme")
    with contextlib.chdir(folder):
        for name in ("bert", "gpt"):
            assert main(["pretrain", f"{name}-nano", f"name=demo-{name}", *shrink(folder)]) == 0
    return folder


def test_python_with_what_the_demo_trained_runs(after_the_demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(after_the_demo)
    code = section("First lines of Python").split("```python")[2].split("```")[0]
    exec(compile(code, "README.md", "exec"), {"zoo": zoo})


def test_command_lines_run(
    after_the_demo: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In their order, each on what the demo and the lines before it left, with the steps and the schedule of the page.

    Only the model and the text are small, so what refuses to extend or to branch a run is asked about the real one.
    """
    monkeypatch.chdir(after_the_demo)
    lines = [shlex.split(line, comments=True)[1:] for line in section("The command line").split("```")[1].splitlines()]
    lines = [line for line in lines if line]
    assert len(lines) >= 7
    small = [one for one in shrink(after_the_demo) if not one.startswith(("schedule.", "trainer.max_"))]
    for line in lines:
        typed = [*line[:2], *small, *line[2:]] if line[0] == "pretrain" else line
        assert main(typed) == 0, (line, capsys.readouterr().err)
    assert {"pretrain", "extend", "branch"} <= {line[0] for line in lines}


def test_settings_that_are_named_exist() -> None:
    """Whatever is written as `key=value` fits some shipped config."""
    named = re.findall(r"`((?:[a-z_]+\.)+[a-z_]+=[^`]+)`", README)
    assert len(named) >= 5
    for settings in named:
        words = shlex.split(settings.replace("\n", " "))
        if "accelerator=gpu" not in settings and "devices" not in settings:
            load_run("bert-nano", ["data.source.kind=text", "data.source.path=text.txt", *words])


def test_the_error_that_is_shown_is_the_error(capsys: pytest.CaptureFixture[str]) -> None:
    shown = re.search(r"^\$ zoo (.+)\n(error: .+)…\)$", README, flags=re.MULTILINE)
    assert shown
    assert main(shown[1].split()) == 2
    assert capsys.readouterr().err.startswith(shown[2])


def test_no_placeholders_are_left() -> None:
    assert not re.findall(r"DEMO_\w+|\bTREE\b|TODO", README)
