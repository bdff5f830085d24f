"""`zoo chat`."""

import io
import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import zoo
from tests.cli.talker import by_hand, talker
from tests.cli.tiny import Command
from tests.generation.tiny import pretrained
from tests.source_tree import ROOT
from zoo.cli.chat import maker_suggests
from zoo.cli.conversation import AGAIN

TYPED = "Hello\n\nWho?\n/foo\n/Reset \nWho?\n/QUIT\nnobody hears this\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    zoo.save(talker(max_length=256), tmp_path / "model")  # no conversation here gets longer
    return tmp_path / "model"


def test_turns_follow_the_template(folder: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(TYPED.replace("/foo\n", "")))
    status, out, err = command("chat", folder, "--max-new-tokens", "6", "--system", "Be brief")
    assert (status, err) == (0, "")
    model = zoo.load(folder)
    expected = [*by_hand(model, "s:Be brief\n", "Hello", "Who?"), *by_hand(model, "s:Be brief\n", "Who?")]
    assert out == "".join(f"{answer}\n" for answer in expected)


def test_the_end_of_the_input_ends_it(folder: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("Hello"))
    assert command("chat", folder, "--max-new-tokens", "2").status == 0


@pytest.mark.parametrize("line", ["/foo", "x" * 300])
def test_a_line_of_a_file_that_could_not_be_answered_is_a_failure(
    tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    zoo.save(talker("learned", max_length=64), tmp_path / "model")
    monkeypatch.setattr("sys.stdin", io.StringIO(f"Hello\n\n{line}\n/reset\nWho?\n"))
    status, out, err = command("chat", tmp_path / "model", "--max-new-tokens", "2")
    assert status == 1
    assert out.count("\n") == 2
    assert err.splitlines()[-1] == "error: 1 of 4 lines could not be answered"


@pytest.mark.parametrize(
    ("options", "status", "told"),
    [
        (("--temperature", "-1"), 2, "temperature: -1.0 must be at least 0"),
        (("--top-p", "0.9"), 2, "0.9 has no effect at temperature 0"),
        (("--temperature", "1", "--top-k", "1000000"), 2, "1000000 must be in 1 …"),
        (("--max-new-tokens", "0"), 2, "0 must be at least 1"),
        (("--max-new-tokens", "500"), 1, "the conversation (1 message) leaves room for an answer of"),
        (("--system", "x" * 99), 1, "the conversation (system prompt, 1 message) has 108 tokens and the model has 64"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_said(
    tmp_path: Path,
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    status: int,
    told: str,
) -> None:
    zoo.save(talker("learned", max_length=64), tmp_path / "model")
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    outcome = command("chat", tmp_path / "model", *options)
    assert (outcome.status, outcome.out) == (status, "")
    assert told in outcome.err


def test_a_folder_without_a_template_is_refused_by_name(tmp_path: Path, command: Command) -> None:
    zoo.save(pretrained("decoder"), tmp_path / "plain")
    status, out, err = command("chat", tmp_path / "plain")
    assert (status, out) == (1, "")
    assert "no chat template: its folder has neither chat_template.jinja nor a chat_template" in err
    zoo.save(pretrained("encoder"), tmp_path / "encoder")
    assert "cannot generate" in command("chat", tmp_path / "encoder").err


MAKERS = {"do_sample": True, "temperature": 0.6, "top_p": 0.9, "top_k": 0, "repetition_penalty": 1.1, "max_length": 99}


@pytest.mark.parametrize(
    ("suggestions", "given", "named"),
    [
        (None, {}, {}),
        (MAKERS, {}, {"temperature": 0.6, "top_p": 0.9, "repetition_penalty": 1.1}),
        (MAKERS, {"repetition_penalty": 1.2}, {"temperature": 0.6, "top_p": 0.9}),
        (MAKERS, {"temperature": 0.0}, {"repetition_penalty": 1.1}),
        ({**MAKERS, "do_sample": False}, {}, {"repetition_penalty": 1.1}),
        ({"do_sample": True}, {}, {"temperature": 1.0}),
        ({"top_k": 50}, {}, {"temperature": 1.0, "top_k": 50}),
        ({"temperature": 1.0}, {}, {}),
    ],
)
def test_what_the_maker_suggests_and_nobody_decided(
    suggestions: dict[str, Any] | None, given: dict[str, Any], named: dict[str, Any]
) -> None:
    assert maker_suggests(suggestions, given) == named


def test_what_the_maker_suggests_is_named_and_not_obeyed(
    tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    zoo.save(talker(suggestions=MAKERS, max_length=256), tmp_path / "model")
    monkeypatch.setattr("sys.stdin", io.StringIO("Hello\n"))
    status, out, err = command("chat", tmp_path / "model", "--max-new-tokens", "6")
    assert status == 0
    assert "suggests temperature=0.6, top_p=0.9, repetition_penalty=1.1" in err
    assert "--temperature 0.6 --top-p 0.9 --repetition-penalty 1.1\n" in err
    assert out == f"{by_hand(zoo.load(tmp_path / 'model'), '', 'Hello')[0]}\n"


class Terminal:
    """A `zoo chat` that somebody sits at: what it shows, and keys to press."""

    def __init__(self, folder: Path) -> None:
        self._ours, theirs = pty.openpty()
        program = "import signal, sys; signal.signal(2, signal.default_int_handler); from zoo.cli.main import main; "
        arguments = [sys.executable, "-c", f"{program} sys.exit(main())", "chat", str(folder), "--max-new-tokens", "4"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            arguments, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True
        )
        os.close(theirs)
        self._shown = ""

    def wait_for(self, words: str, seconds: float = 300) -> str:
        """What is shown up to these words; what comes behind them is for the next call."""
        end = time.monotonic() + seconds
        while words not in self._shown:
            assert time.monotonic() < end, self._shown
            if select.select([self._ours], [], [], 0.1)[0]:
                self._shown += os.read(self._ours, 4096).decode()
        before, _, self._shown = self._shown.partition(words)
        return before

    def press(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    def interrupt(self, seconds: float = 300) -> None:
        """Ctrl-C, as a person presses it: when the prompt has come to rest.

        Python's readline shows the prompt and only then waits in `select`. A signal that comes between the two is seen
        with the next key, which nobody here would press.
        """
        state = Path(f"/proc/{self.process.pid}/stat")
        end, calm = time.monotonic() + seconds, 0
        while calm < 5 and state.exists():
            assert time.monotonic() < end, "it never came to rest"
            calm = calm + 1 if state.read_text().rpartition(")")[2].split()[0] == "S" else 0
            time.sleep(0.02)
        self.process.send_signal(2)


@pytest.mark.slow
def test_at_a_terminal_lines_are_edited_and_one_ctrl_c_ends_nothing(folder: Path) -> None:
    terminal = Terminal(folder)
    terminal.wait_for("> ")
    terminal.press("Helo\x1b[Dl\n")  # an arrow to the left: what is typed then stands before the last letter
    answer = by_hand(zoo.load(folder), "", "Hello")[0][:2]
    assert answer in terminal.wait_for("> ")
    terminal.press("/reset\n")
    terminal.wait_for("> ")
    terminal.press("\x1b[A\x1b[A")  # two lines back
    terminal.wait_for("Hello")
    terminal.interrupt()
    terminal.wait_for(AGAIN)
    terminal.wait_for("> ")
    terminal.press("/help\n")
    terminal.wait_for("a message that begins with /")
    terminal.wait_for("> ")
    terminal.interrupt()
    terminal.wait_for(AGAIN)
    terminal.wait_for("> ")
    terminal.interrupt()
    terminal.wait_for("stopped by Ctrl-C")
    assert terminal.process.wait(300) == 130
