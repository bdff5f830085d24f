"""A progress bar on stderr, where that is a terminal; silence elsewhere, so that logs stay clean."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress_bar(title: str, total: int | None, shown: bool = True) -> Iterator[Callable[[int], None]]:
    """A bar for the time of the block.

    Args:
        title: what is going on, in a few words.
        total: characters to come, about; None: not known.
        shown: False: no bar, whatever stderr is.

    Yields:
        A function to be told how many more characters are done.
    """
    if not shown or not sys.stderr.isatty():
        yield lambda advance: None
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
