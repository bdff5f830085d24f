"""The bar of rows: seen on a terminal only, from the first rows on."""

import sys

import pytest

from zoo.cli.rows_bar import rows_bar


def test_nothing_where_nobody_sees_it(capfd: pytest.CaptureFixture[str]) -> None:
    with rows_bar("measuring") as told:
        assert told is None
    assert capfd.readouterr() == ("", "")


def test_a_terminal_sees_how_far_it_is(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("FORCE_COLOR", "1")
    with rows_bar("measuring runs/mine") as told:
        assert told is not None
        assert capfd.readouterr() == ("", "measuring runs/mine …\n")
        told(3, 10)
        told(10, 10)
    out, err = capfd.readouterr()
    assert out == ""
    assert "10/10" in err
    assert "rows" in err
