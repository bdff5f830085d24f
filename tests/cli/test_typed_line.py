"""A line that a person types."""

import io
import os
import pty
import select
import subprocess
import sys
import time

import pytest

from tests.source_tree import ROOT
from zoo.cli.typed_line import typed_line, without_control
from zoo.errors import DataError


@pytest.mark.parametrize(
    ("line", "left"),
    [
        ("plain\ttext — 日本語", "plain\ttext — 日本語"),
        ("a\x1b[Ab\x1bOCc", "abc"),  # arrows
        ("a\x1b[1;5Cb", "ab"),
        ("a\x00b\x7fc\x85d\re", "abcde"),
        ("\x1b", ""),
    ],
)
def test_control_characters_are_left_out_with_a_word(line: str, left: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert without_control(line) == left
    assert ("left out" in capsys.readouterr().err) == (line != left)


def test_lines_of_a_file_and_its_end(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("one\x1b[A\ntwo"))
    assert [typed_line(), typed_line()] == ["one", "two"]
    with pytest.raises(EOFError):
        typed_line()
    assert capsys.readouterr() == ("", "note: left out a control character, '\\x1b[A'\n")


@pytest.mark.parametrize("errors", ["strict", "surrogateescape"])  # of a UTF-8 locale, and of the C locale
def test_what_is_no_text_is_told(errors: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"caf\xe9\n"), encoding="utf-8", errors=errors))
    with pytest.raises(DataError, match=r"stdin is not valid UTF-8 \(byte 0xe9\)"):
        typed_line()


PROGRAM = "from zoo.cli.typed_line import typed_line\nwhile True: print('got', [typed_line()], flush=True)"


def test_at_a_terminal_arrows_edit_and_bring_lines_back() -> None:
    pytest.importorskip("readline")
    ours, theirs = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"}
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdin=theirs, stdout=theirs, stderr=theirs, env=environment
    )
    os.close(theirs)
    shown, end = b"", time.monotonic() + 300
    keys = [b"Helo\x1b[Dl\n", b"\x1b[A\n", b"\x04"]  # left; up; Ctrl-D
    try:
        while time.monotonic() < end:  # what it said last is still to be read when the process has ended
            if not select.select([ours], [], [], 0.05)[0]:
                continue
            try:
                part = os.read(ours, 4096)
            except OSError:  # Linux says so where the other side was closed
                break
            if not part:  # macOS
                break
            shown += part
            if keys and shown.endswith(b"> "):
                os.write(ours, keys.pop(0))
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    assert shown.count(b"got ['Hello']") == 2, shown
    assert b"EOFError" in shown
