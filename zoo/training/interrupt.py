"""Ctrl-C and SIGTERM: finish the step, save, leave; the same command goes on from there.

Lightning's own handlers lose the run's position and can deadlock several ranks, so they are never installed. A signal
only raises a flag. The flag rides in the reduction of target counts that every step makes anyway, so all ranks see it
in the same step. A second signal is ignored while the save is under way; the third ends the process at once.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Sequence
from types import FrameType
from typing import Any

from zoo.errors import ZooError

SIGNALS = (signal.SIGTERM, signal.SIGINT)
"""What stops a run; where ranks got different ones, the first in this list counts."""
WORKER_GRACE_SECONDS = 20
"""How long a data worker outlives a SIGTERM, for the training process to finish its step and save."""


class Interrupted(ZooError):  # noqa: N818  (a run that was asked to stop has not gone wrong)
    """The run was asked to stop and has saved.

    Attributes:
        signal_number: which signal asked.
        step: optimizer steps done.
    """

    def __init__(self, signal_number: int, step: int) -> None:
        name = "Ctrl-C" if signal_number == signal.SIGINT else signal.Signals(signal_number).name
        super().__init__(f"stopped by {name} after step {step}; everything is saved, and the same command continues")
        self.signal_number = signal_number
        self.step = step


class StopFlag:
    """Turns SIGINT and SIGTERM into a flag inside its `with` block."""

    def __init__(self) -> None:
        self.signal_number = 0
        self._count = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopFlag:
        """Takes the two signals over; elsewhere than in the main thread there are no handlers to take."""
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                self._before[number] = signal.signal(number, self._raise)
        return self

    def __exit__(self, *error: object) -> None:
        """Gives the signals back to whoever had them."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    def votes(self) -> list[int]:
        """For each of SIGNALS, 1 where this process was asked to stop by it; votes of ranks add up."""
        return [int(self.signal_number == number) for number in SIGNALS]

    def _raise(self, number: int, frame: FrameType | None) -> None:
        self.signal_number = number
        self._count += 1
        if self._count > 2:
            os._exit(128 + number)


def agreed(votes: Sequence[int]) -> int:
    """The signal that the ranks' votes together amount to; 0: go on."""
    return next((int(number) for number, count in zip(SIGNALS, votes, strict=True) if count), 0)


def ignore_in_worker(worker: int) -> None:
    """For data workers: a signal often reaches the whole group of processes, but only the main one decides.

    A worker that died of SIGTERM at once would make the loader raise in the middle of the step, or of the save.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, lambda number, frame: signal.alarm(WORKER_GRACE_SECONDS))
