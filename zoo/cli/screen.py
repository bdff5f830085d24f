"""Results on stdout, notes on stderr."""

from __future__ import annotations

import os
import shutil
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

PAGE = 100
"""Columns of running text at most."""
ENDLESS = 10_000
"""Columns where stdout is no terminal: nothing is wrapped or cut, so that other programs can read it."""
GAP = 3
"""Columns between two columns of a table."""


def table(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    width: int = ENDLESS,
    *,
    dispensable: Sequence[str] = (),
) -> None:
    """Prints a table as wide as the terminal at most; columns that hold numbers only are set to the right.

    Lines break between words. Where the words do not fit side by side, columns are left out, with a note.

    Args:
        title: a line above it, "" for none.
        columns: names of the columns.
        rows: cells; numbers are printed with thousands separators, None as nothing.
        width: columns at most where stdout is no terminal.
        dispensable: names of columns that may be left out, the first to go first.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from zoo.cli.column_widths import fitted_widths, kept_columns, longest_word

    rows = [list(row) for row in rows]
    room = table_width(width)
    cells = [[column, *(cell_text(row[index]) for row in rows)] for index, column in enumerate(columns)]
    kept = kept_columns([longest_word(each) for each in cells], map(columns.index, dispensable), room, GAP)
    drawn = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
    for index, fitted in zip(kept, fitted_widths([cells[one] for one in kept], room, GAP), strict=True):
        numeric = any(is_number(row[index]) for row in rows) and all(
            row[index] is None or is_number(row[index]) for row in rows
        )
        drawn.add_column(columns[index], justify="right" if numeric else "left", overflow="fold", width=fitted)
    for row in rows:
        drawn.add_row(*(Text(cell_text(row[index])) for index in kept))
    console = Console(width=room, highlight=False)
    with console.capture() as capture:
        console.print(drawn)
    if title:
        print(title)
    for line in capture.get().splitlines():
        print(line.rstrip())
    if left_out := [column for index, column in enumerate(columns) if index not in kept]:
        note(f"left out, for {room} columns: {', '.join(left_out)} (a wider terminal or a file shows all)")


def table_width(elsewhere: int = ENDLESS) -> int:
    """Columns that a table may take: those of the terminal, or what COLUMNS says; without either, `elsewhere`."""
    said = os.environ.get("COLUMNS", "")
    return shutil.get_terminal_size().columns if sys.stdout.isatty() or said.isdecimal() else elsewhere


def screen_width() -> int:
    """Columns of the terminal, at most 100; 100 where stdout is none."""
    return min(shutil.get_terminal_size().columns, PAGE) if sys.stdout.isatty() else PAGE


def is_number(cell: Any) -> bool:
    """Whether a cell holds a number."""
    return isinstance(cell, int | float) and not isinstance(cell, bool)


def cell_text(cell: Any) -> str:
    """A cell as it is printed: 1234567 → 1,234,567; 0.123456 → 0.1235; a line break → \\n."""
    if cell is None:
        return ""
    if isinstance(cell, float):
        return f"{cell:,.4f}" if abs(cell) < 1000 else f"{cell:,.0f}"
    if is_number(cell):
        return f"{cell:,}"
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in str(cell))


def written(value: Any) -> str:
    """A config's value as one writes it on the command line: None → null."""
    if isinstance(value, list):
        return f"[{', '.join(map(written, value))}]"
    words = {None: "null", True: "true", False: "false"}
    return words[value] if value is None or isinstance(value, bool) else str(value)


def note(text: str) -> None:
    """Prints a line on stderr, the end of the line with it: between two writes a signal may come with its own line."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def visible(text: str) -> str:
    """A model's text as a terminal may show it: control characters, which would steer it, are spelt out.

    Where stdout is no terminal the text stays as it is, for other programs to read.
    """
    if not sys.stdout.isatty():
        return text
    return "".join(ascii(one)[1:-1] if unicodedata.category(one) == "Cc" and one not in "\n\t" else one for one in text)
