"""What a person sees while a run trains: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Protocol

from zoo.quantity import short_number

JOIN = " · "
WIDEST_BAR, SHORT_BAR = 24, 8
"""Columns of a bar that has room, and of one for which MFU is left out rather than that it shrinks further."""
TIME_LEFT = len("0:00:00 left")


class Progress(Protocol):
    """Shows how far a run is."""

    def update(self, step: int, row: dict[str, float]) -> None:
        """Shows a step; `row` holds what was logged last, or nothing new."""

    def say(self, text: str) -> None:
        """Prints a line without disturbing the bar."""

    def close(self) -> None:
        """Ends the display."""


def make_progress(title: str, start: int, max_steps: int) -> Progress:
    """A bar where stderr is a terminal, else lines."""
    return BarProgress(title, start, max_steps) if sys.stderr.isatty() else LineProgress(title, start, max_steps)


def describe_row(row: dict[str, float]) -> str:
    """Loss, tokens/s and MFU in a few words; what the row lacks is left out."""
    return JOIN.join(row_words(row))


def row_words(row: dict[str, float]) -> list[str]:
    """What `describe_row` joins, the most important first."""
    words = [f"loss {row['train/loss']:.3f}"] if "train/loss" in row else []
    if "validation/loss" in row:
        words.append(f"validation {row['validation/loss']:.3f}")
    if "tokens_per_second" in row:
        words.append(f"{short_number(row['tokens_per_second'])} tokens/s")
    if "mfu" in row:
        words.append(f"MFU {100 * row['mfu']:.0f} %")
    return words


def fit(words: list[str], room: int) -> tuple[str, int]:
    """What of the words, most important first, and how wide a bar fit into `room` columns side by side."""
    kept = list(words)
    while len(kept) > 1 and room - len(JOIN.join(kept)) < (SHORT_BAR if kept[-1].startswith("MFU") else 1):
        kept.pop()
    text = JOIN.join(kept)
    return text, min(max(room - len(text), 1), WIDEST_BAR)


class BarProgress:
    """A rich bar with loss, tokens/s and the time left, on one line of any terminal.

    Args:
        title: what runs.
        start: steps already done.
        max_steps: steps of the whole run.
    """

    def __init__(self, title: str, start: int, max_steps: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        self._bar = BarColumn(bar_width=WIDEST_BAR)
        self._progress = RichProgress(
            TextColumn("[bold]{task.description}"),
            self._bar,
            MofNCompleteColumn(),
            TextColumn("{task.fields[words]}"),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=Console(stderr=True),
            refresh_per_second=2,
        )
        self._words: list[str] = []
        self._frame = len(f"{title}  {max_steps}/{max_steps}  ") + TIME_LEFT + len(" ")
        self._task = self._progress.add_task(title, total=max_steps, completed=start, words="")
        self._progress.start()

    def update(self, step: int, row: dict[str, float]) -> None:
        """Moves the bar."""
        self._words = row_words(row) or self._words
        words, self._bar.bar_width = fit(self._words, self._progress.console.width - self._frame)
        self._progress.update(self._task, completed=step, words=words)

    def say(self, text: str) -> None:
        """Prints a line above the bar."""
        self._progress.console.print(text, highlight=False, markup=False)

    def close(self) -> None:
        """Leaves the bar as it stands."""
        self._progress.stop()


class LineProgress:
    """A line every few seconds.

    Args:
        title: what runs.
        start: steps already done.
        max_steps: steps of the whole run.
    """

    def __init__(self, title: str, start: int, max_steps: int) -> None:
        self._title = title
        self._start = start
        self._max_steps = max_steps
        self._began = time.monotonic()
        self._last = 0.0

    def update(self, step: int, row: dict[str, float]) -> None:
        """Prints a line where the last one is some seconds old, or the run is at its end."""
        now = time.monotonic()
        if row and (now - self._last > 10 or step == self._max_steps or "validation/loss" in row):
            self._last = now
            left = (now - self._began) / max(step - self._start, 1) * (self._max_steps - step)
            self.say(f"{self._title} {step}/{self._max_steps} · {describe_row(row)} · {left:.0f} s left")

    def say(self, text: str) -> None:
        """Prints a line."""
        print(text, file=sys.stderr, flush=True)

    def close(self) -> None:
        """Nothing to end."""
