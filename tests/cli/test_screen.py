"""Tables and notes."""

import pytest

from zoo.cli.screen import cell_text, is_number, note, table, visible, written


def test_table_is_plain_where_stdout_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    table("a title\n", ("name", "count"), [("[MASK] " * 40, 1234567), ("b", None)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["a title", ""]
    assert lines[2].startswith("name")
    assert lines[4].split() == ["[MASK]"] * 40 + ["1,234,567"]  # neither wrapped nor taken for markup
    assert all(line == line.rstrip() for line in lines)


@pytest.mark.parametrize("width", [40, 60, 80])
def test_a_table_is_as_wide_as_it_is_told(
    width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By COLUMNS where there is no terminal; names stay whole, and what goes for them is told."""
    monkeypatch.setenv("COLUMNS", str(width))
    rows = [("transformer-base", "words of which a line has some, and others stand below", "a-name/that-nobody-breaks")]
    table("", ("name", "what it is", "source"), rows, dispensable=("source",))
    out, err = capsys.readouterr()
    assert max(map(len, out.splitlines())) <= width
    assert "transformer-base" in out
    assert ("a-name/that-nobody-breaks" in out, "left out, for 40 columns: source" in err) == (width > 40, width == 40)


def test_numbers_stand_on_the_right(capsys: pytest.CaptureFixture[str]) -> None:
    table("", ("count", "word"), [(5, "a"), (12345, "b")])
    assert [line[:6] for line in capsys.readouterr().out.splitlines()[2:]] == ["     5", "12,345"]


@pytest.mark.parametrize(
    "cell, text",
    [
        (None, ""),
        (1234, "1,234"),
        (0.25, "0.2500"),
        (12345.6, "12,346"),
        (True, "True"),
        ("ä\x1b[0m\n", "ä\\x1b[0m\\n"),
        (-0.5, "-0.5000"),
    ],
)
def test_cell(cell: object, text: str) -> None:
    assert cell_text(cell) == text


def test_a_truth_value_is_no_number() -> None:
    assert is_number(1)
    assert is_number(0.5)
    assert not is_number(True)
    assert not is_number("1")


def test_note_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    note("mind this")
    assert capsys.readouterr() == ("", "mind this\n")


@pytest.mark.parametrize(
    "value, text", [(None, "null"), (True, "true"), (1, "1"), (0.5, "0.5"), ("a", "a"), ([1, None], "[1, null]")]
)
def test_written_as_on_the_command_line(value: object, text: str) -> None:
    assert written(value) == text


def test_a_terminal_gets_no_control_characters_of_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "a\x1b[2J\tb\n\x07é\xa0"
    monkeypatch.setattr("sys.stdout.isatty", lambda: False, raising=False)
    assert visible(text) == text
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert visible(text) == "a\\x1b[2J\tb\n\\x07é\xa0"
