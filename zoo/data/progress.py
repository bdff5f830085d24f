"""A progress bar on stderr, where that is a terminal; elsewhere a line at the start and one at the end."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from zoo.quantity import duration, short_number


@contextmanager
def progress_bar(title: str, total: int | None, shown: bool = True) -> Iterator[Callable[[int], None]]:
    """A bar for the time of the block.

    Args:
        title: what is going on, in a few words.
        total: characters to come, about; None: not known.
        shown: False: nothing is shown, whatever stderr is.

    Yields:
        A function to be told how many more characters are done.
    """
    if not shown:
        yield lambda advance: None
        return
    if not sys.stderr.isatty():
        yield from _lines(title, total)
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        FileSizeColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        FileSizeColumn(),
        TransferSpeedColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(title, total=total)
        yield lambda advance: progress.advance(task, advance)
        done = progress.tasks[0].completed
        progress.update(task, total=done, completed=done)  # the total was a guess


def _lines(title: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """What a log gets in the place of a bar; nothing is said of the end where there was an error."""
    done, began = 0, time.monotonic()

    def count(advance: int) -> None:
        nonlocal done
        done += advance

    _say(f"{title}: {'text' if total is None else f'about {short_number(total)} characters'}")
    yield count
    _say(f"{title}: {short_number(done)} characters in {duration(time.monotonic() - began)}")


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
