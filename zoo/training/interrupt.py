"""Ctrl-C and SIGTERM: finish the step, save, leave; the same command goes on from there.

Lightning's own handlers lose the run's position and can deadlock several ranks, so they are replaced while the fit runs. A
signal only raises a flag. The flag rides in the reduction of target counts that every step makes anyway, so all ranks see
it in the same step. A second signal is ignored while the save is under way; the third ends the process at once.
"""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType
from typing import Any

from zoo.errors import ZooError


class Interrupted(ZooError):
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
    """Turns SIGINT and SIGTERM into a flag while it is installed."""

    def __init__(self) -> None:
        self.signal_number = 0
        self._count = 0
        self._before: dict[int, Any] = {}

    def install(self) -> None:
        """Takes the two signals over; elsewhere than in the main thread there are no handlers to take."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._raise)

    def remove(self) -> None:
        """Gives the signals back to whoever had them."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    def _raise(self, number: int, frame: FrameType | None) -> None:
        self.signal_number = number
        self._count += 1
        if self._count > 2:
            os._exit(128 + number)


def ignore_in_worker(worker: int) -> None:
    """For data workers: Ctrl-C reaches the whole group of processes, but only the main one decides."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
