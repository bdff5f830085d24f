"""Results on stdout, notes on stderr."""

from __future__ import annotations

import shutil
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

PAGE = 100
"""Columns of running text at most."""
ENDLESS = 10_000
"""Columns where stdout is no terminal: nothing is wrapped or cut, so that other programs can read it."""


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], width: int = ENDLESS) -> None:
    """Prints a table; columns that hold numbers only are set to the right.

    Args:
        title: a line above it, "" for none.
        columns: names of the columns.
        rows: cells; numbers are printed with thousands separators, None as nothing.
        width: columns at most where stdout is no terminal; cells that are longer are folded.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    rows = [list(row) for row in rows]
    terminal = sys.stdout.isatty()
    drawn = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
    for index, column in enumerate(columns):
        numeric = any(is_number(row[index]) for row in rows) and all(
            row[index] is None or is_number(row[index]) for row in rows
        )
        drawn.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*(Text(cell_text(cell)) for cell in row))
    console = Console(width=None if terminal else width, highlight=False)
    with console.capture() as capture:
        console.print(drawn)
    if title:
        print(title)
    for line in capture.get().splitlines():
        print(line.rstrip())


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
