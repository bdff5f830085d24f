"""A bar on a terminal, lines elsewhere."""

import re
import sys

import pytest

from zoo.data.progress import progress_bar


@pytest.mark.parametrize("total, start", [(12_000, "about 12k characters"), (None, "text")])
def test_lines_without_a_terminal(capsys: pytest.CaptureFixture[str], total: int | None, start: str) -> None:
    with progress_bar("working", total) as advance:
        assert capsys.readouterr() == ("", f"working: {start}\n")
        advance(5000)
        advance(6500)
        assert capsys.readouterr() == ("", "")
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(r"working: 11\.5k characters in \S+ s\n", err), err
    with progress_bar("working", total, shown=False) as advance:
        advance(5)
    assert capsys.readouterr() == ("", "")


def test_no_end_is_told_of_what_broke_off(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="it"), progress_bar("working", 10):
        raise ValueError("it")
    assert capsys.readouterr().err == "working: about 10 characters\n"


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
