"""A user's own file: executed once, known by its hash, and nothing of it stays where it breaks off."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import zoo
from tests import own_blocks as files
from tests.conftest import ROOT
from zoo.errors import ConfigError
from zoo.nn.norm import NormConfig
from zoo.own_blocks import VARIABLE, execute, executed, in_words, made_with


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    with files.forgotten():
        yield


def test_registers_and_builds(tmp_path: Path) -> None:
    blocks = zoo.import_blocks(files.write(tmp_path))
    assert blocks.registered == ("norm half",)
    model = zoo.create_model("gpt-nano", vocab_size=8, norm={"kind": "half", "factor": 0.25})
    assert model.backbone.stack.norm.factor == 0.25
    with pytest.raises(ConfigError, match=r"norm.factor: 0.0 must be above 0"):
        zoo.create_model("gpt-nano", norm={"kind": "half", "factor": 0.0})


def test_is_executed_once_for_one_content(tmp_path: Path) -> None:
    first = execute(files.write(tmp_path))
    assert execute(tmp_path / "my_blocks.py") is first
    assert execute(files.write(tmp_path, name="copy.py")) is first
    assert executed() == [first]


def test_tells_child_processes_what_they_must_find(tmp_path: Path) -> None:
    path = files.write(tmp_path)
    blocks = execute(path)
    assert json.loads(os.environ[VARIABLE]) == {str(path): blocks.sha256}
    program = f"import zoo; print(zoo.import_blocks({str(path)!r}).registered)"

    def child() -> "subprocess.CompletedProcess[str]":
        return subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)

    assert child().stdout == "('norm half',)\n"
    path.write_text(files.NORM + "print('changed')\n", encoding="utf-8")
    result = child()
    assert result.stdout == ""  # refused before it is executed
    assert "the file was changed in between" in result.stderr


@pytest.mark.parametrize("value", ["nonsense", "[1]"])
def test_variable_that_zoo_did_not_write(value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, value)
    with pytest.raises(ConfigError, match="ZOO_IMPORTS is not what zoo writes there; unset it"):
        execute(files.write(tmp_path))


def test_changed_file_needs_a_new_process(tmp_path: Path) -> None:
    path = files.write(tmp_path)
    execute(path)
    path.write_text(files.NORM.replace('"half"', '"third"'), encoding="utf-8")
    with pytest.raises(ConfigError, match="was changed after this process had imported it; start a new process"):
        execute(path)
    with pytest.raises(ConfigError, match=r"sha256 [0-9a-f]{12}\) is not what .*sha256 000000000000\)"):
        execute(files.write(tmp_path, files.OBJECTIVE, "other.py"), "0" * 64)


BROKEN = {
    "missing": (None, r"cannot import .*my_blocks\.py: No such file"),
    "syntax": ("x = (\n", r"my_blocks\.py, line 1: SyntaxError: "),
    "error": ("import math\n\nmath.sqrt(-1)\n", r"my_blocks\.py, line 3: ValueError: "),
    "deep": ("def f():\n    raise KeyError('a')\nf()\n", r"my_blocks\.py, line 2: KeyError: 'a'"),
    "exit": ("import sys\nsys.exit(3)\n", r"my_blocks\.py, line 2: SystemExit: 3"),
    "no text": ("x = 1\0", r"my_blocks\.py: \w+: .*null bytes"),
    "nothing": ("x = 1\n", r"my_blocks\.py: registers nothing; .*kind='mine'"),
    "a kind of ours": (
        files.NORM.replace('"half"', '"rms_norm"'),
        r"my_blocks\.py, line 14: norm 'rms_norm' is registered already by RMSNormConfig",
    ),
    "a name of ours": (
        "from zoo.nn.feed_forward import ACTIVATIONS\nACTIVATIONS.add('mine', abs)\nACTIVATIONS.add('relu', abs)\n",
        r"my_blocks\.py, line 3: activation 'relu' is registered already; choose another name",
    ),
}


@pytest.mark.parametrize("text, words", BROKEN.values(), ids=BROKEN.keys())
def test_broken_file_is_one_sentence_and_leaves_nothing(text: str | None, words: str, tmp_path: Path) -> None:
    from zoo.nn.feed_forward import ACTIVATIONS

    if text is not None:
        files.write(tmp_path, text)
    modules = set(sys.modules)
    with pytest.raises(ConfigError, match=words):
        zoo.import_blocks(tmp_path / "my_blocks.py")
    assert executed() == []
    assert "mine" not in ACTIVATIONS
    assert NormConfig.choice("rms_norm").__module__ == "zoo.nn.norm"
    assert not [name for name in set(sys.modules) - modules if name.startswith("zoo_import")]
    assert zoo.import_blocks(files.write(tmp_path)).registered == ("norm half",)  # mended, it is taken


def test_a_name_that_zoo_registers_later_is_not_taken_from_it(tmp_path: Path) -> None:
    """Whatever has been imported so far, the file's claim on one of zoo's own names is the one that is refused."""
    path = files.write(tmp_path, files.OBJECTIVE.replace('"own"', '"masked_lm"'))
    program = f"import zoo; zoo.import_blocks({str(path)!r})"
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert "objective 'masked_lm' is registered already by MaskedLMConfig" in result.stderr


def test_records_in_words(tmp_path: Path) -> None:
    blocks = execute(files.write(tmp_path))
    gone = {"file": "gone.py", "sha256": "ab" * 32}
    assert in_words([gone, gone]) == "--import gone.py (sha256 abababababab) --import gone.py (sha256 abababababab)"
    assert made_with([]) == made_with([blocks.record]) == ""
    assert made_with([blocks.record, gone]) == "; it was made with --import gone.py (sha256 abababababab)"
