"""A bar on a terminal, silence elsewhere."""

import sys

import pytest

from zoo.data.progress import progress_bar


def test_silent_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar("working", 10) as advance:
        advance(5)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("total", [10, None])
def test_a_bar_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, total: int | None
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with progress_bar("working", total) as advance:
        advance(5)
    shown = capsys.readouterr()
    assert "working" in shown.err
    assert shown.out == ""
    with progress_bar("working", 10, shown=False) as advance:
        advance(5)
    assert capsys.readouterr().err == ""
