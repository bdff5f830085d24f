"""A bar on stderr while rows are gone through, where that is a terminal; elsewhere nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from zoo.cli.screen import note


@contextmanager
def rows_bar(title: str) -> Iterator[Callable[[int, int], None] | None]:
    """A bar for the time of the block, from the first time that it is told of rows: what comes before has its own.

    Args:
        title: what is going on, in a few words; a line of its own until then.

    Yields:
        A function to be told how many rows of how many are done; None: nobody sees it.
    """
    if not sys.stderr.isatty():
        yield None
        return
    note(f"{title} …")
    with ExitStack() as drawn:
        update: Callable[[int, int], None] | None = None

        def told(done: int, total: int) -> None:
            nonlocal update
            if update is None:
                update = _drawn(drawn, total)
            update(done, total)

        yield told


def _drawn(until: ExitStack, total: int) -> Callable[[int, int], None]:
    """Draws a bar that goes away when `until` ends; returns what moves it."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("rows"), TimeRemainingColumn(), TextColumn("left"))
    progress = until.enter_context(Progress(*columns, console=Console(stderr=True), transient=True))
    task = progress.add_task("", total=total)
    return lambda done, total: progress.update(task, completed=done, total=total)
