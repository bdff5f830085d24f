"""What a person sees while a run trains: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Protocol

from zoo.quantity import short_number
from zoo.training.budget import WORDS, Budget

JOIN = " · "
WIDEST_BAR, SHORT_BAR = 24, 8
"""Columns of a bar that has room, and of one for which MFU is left out rather than that it shrinks further."""
TIME_LEFT = len("0:00:00 left")


class Progress(Protocol):
    """Shows how far a run is."""

    def update(self, done: float, row: dict[str, float]) -> None:
        """Shows how much of the budget is spent; `row` holds what was logged last, or nothing new."""

    def say(self, text: str) -> None:
        """Prints a line without disturbing the bar."""

    def close(self) -> None:
        """Ends the display."""


def make_progress(title: str, start: float, budget: Budget) -> Progress:
    """A bar where stderr is a terminal, else lines."""
    return BarProgress(title, start, budget) if sys.stderr.isatty() else LineProgress(title, start, budget)


def amount(done: float, budget: Budget) -> str:
    """How far a run is, in the unit of its budget: 20/100, 1.2M/3G tokens, 0.25/2 hours."""
    if budget.unit == "steps":
        return f"{done:.0f}/{budget.limit:.0f}"
    return f"{short_number(done)}/{short_number(budget.limit)} {WORDS[budget.unit]}"


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
        start: what of the budget is spent already.
        budget: how long the run is.
    """

    def __init__(self, title: str, start: float, budget: Budget) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        self._bar = BarColumn(bar_width=WIDEST_BAR)
        self._progress = RichProgress(
            TextColumn("[bold]{task.description}"),
            self._bar,
            TextColumn("{task.fields[amount]}"),
            TextColumn("{task.fields[words]}"),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=Console(stderr=True),
            refresh_per_second=2,
        )
        self._words: list[str] = []
        self._budget = budget
        self._frame = len(title) + TIME_LEFT + len("     ")
        self._task = self._progress.add_task(title, total=budget.limit, words="", amount=amount(start, budget))
        self._progress.update(self._task, completed=start)
        self._progress.start()

    def update(self, done: float, row: dict[str, float]) -> None:
        """Moves the bar."""
        self._words = row_words(row) or self._words
        far = amount(done, self._budget)
        words, self._bar.bar_width = fit(self._words, self._progress.console.width - self._frame - len(far))
        self._progress.update(self._task, completed=done, words=words, amount=far)

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
        start: what of the budget is spent already.
        budget: how long the run is.
    """

    def __init__(self, title: str, start: float, budget: Budget) -> None:
        self._title = title
        self._start = start
        self._budget = budget
        self._began = time.monotonic()
        self._last = 0.0

    def update(self, done: float, row: dict[str, float]) -> None:
        """Prints a line where the last one is some seconds old, or the run is at its end."""
        now, limit = time.monotonic(), self._budget.limit
        if row and (now - self._last > 10 or done >= limit or "validation/loss" in row):
            self._last = now
            speed = (done - self._start) / (now - self._began) if now > self._began else 0.0
            left = f"{max(limit - done, 0) / speed:.0f} s left" if speed else "time left unknown"
            self.say(f"{self._title} {amount(done, self._budget)} · {describe_row(row)} · {left}")

    def say(self, text: str) -> None:
        """Prints a line."""
        print(text, file=sys.stderr, flush=True)

    def close(self) -> None:
        """Nothing to end."""
