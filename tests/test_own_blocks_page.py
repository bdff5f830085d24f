"""docs/own_blocks.md tells the truth: its Python runs, its commands are known, its table names what is there."""

import importlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

import zoo
from tests import own_blocks as files
from tests.cli.tiny import run_command
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "own_blocks.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", PAGE, flags=re.DOTALL)


@pytest.fixture(autouse=True)
def _forgotten(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(ROOT)
    with files.forgotten():
        yield


def test_python_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, norm = (text for language, text in BLOCKS if language == "python")
    exec(compile(first, "docs/own_blocks.md", "exec"), {})
    assert "positions kerple" in capsys.readouterr().out
    zoo.import_blocks(files.write(tmp_path, norm, "norm.py"))
    model = zoo.create_model("bert-nano", norm={"kind": "scale_only", "start": 0.5})
    assert float(model.backbone.stack.blocks[0].self_attention.outer.weight.detach()[0]) == 0.5


def test_commands_run() -> None:
    lines = [shlex.split(line) for language, text in BLOCKS if not language for line in text.splitlines()]
    for line in lines:
        if line[0] == "zoo" and "runs/kerple-maxout" not in line:
            config = line.index("pretrain") if "pretrain" in line else None
            arguments = line[1:] if config is None else ["config", *line[2:]]
            outcome = run_command(*arguments)
            assert outcome.status == 0, outcome.err
            assert "kerple" in outcome.out
        for word in line:
            assert "/" not in word or "runs/" in word or (ROOT / word).exists(), word


def test_table_names_what_is_there() -> None:
    rows = re.findall(r"^\| (\w+) \| `([\w.]+)` \|.*\| `([\w/.]+)` \|$", PAGE, flags=re.MULTILINE)
    for noun, base, model in rows:
        module, _, name = base.rpartition(".")
        assert getattr(importlib.import_module(module), name).noun == noun
        assert (ROOT / model).is_file()
    assert {noun for noun, _, _ in rows} >= {
        "positions",
        "norm",
        "feed_forward",
        "block",
        "residual",
        "head",
        "objective",
    }


def test_tables_of_names_are_there() -> None:
    for name, module in re.findall(r"`([A-Z]+)\.add\([^`]*`\s+from\s+`([\w.]+)`", PAGE):
        assert callable(getattr(importlib.import_module(module), name).add)
