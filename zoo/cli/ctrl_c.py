"""Ctrl-C while modules are imported waits until they are whole.

A KeyboardInterrupt in the midst of an import is not safe with everybody: numpy catches it and goes on, so that the
Ctrl-C is lost, and what was imported by half fails much later with an error about something else. Imports of seconds
are where a person who has mistyped presses it. So the handler looks whether an import is under way: if so, it tells the
process once more as soon as none is. SIGTERM needs none of this: until a run takes it over, it ends the process.
"""

from __future__ import annotations

import os
import signal
import threading
from types import CodeType, FrameType
from typing import Any

from zoo.cli.failure import STOPPED

IMPORT_SYSTEM = "<frozen importlib._bootstrap>"
"""The file of each frame that executes an `import` of something new."""
LOOK_AGAIN_SECONDS = 0.02
"""At first. Each wait is twice the one before: an alarm may interrupt the reading of a file, which is then begun anew,
so that at a steady beat a slow disk would never come to an end."""


class WholeImports:
    """Inside its `with` block Ctrl-C raises KeyboardInterrupt, but between imports only.

    A second Ctrl-C during the same import ends the process at once. Where Ctrl-C does something else already (ignored
    behind `nohup`, a handler of whoever calls), and elsewhere than in the main thread, nothing is changed.

    Args:
        inside: the function that has the block; imports that led to its call are nobody's concern.
    """

    def __init__(self, inside: CodeType) -> None:
        self._inside = inside
        self._is_waiting = False
        self._pause = LOOK_AGAIN_SECONDS
        self._alarm: Any = None
        self._is_ours = False

    def __enter__(self) -> WholeImports:
        """Takes Ctrl-C over where it does what Python has it do."""
        is_main = threading.current_thread() is threading.main_thread()
        self._is_ours = is_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if self._is_ours:
            signal.signal(signal.SIGINT, self._interrupted)
        return self

    def __exit__(self, *error: object) -> None:
        """Gives Ctrl-C back; one that still waits is raised."""
        if not self._is_ours:
            return
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if self._is_waiting:
            self._stop_waiting()
            if not isinstance(error[1], KeyboardInterrupt):
                raise KeyboardInterrupt

    def _interrupted(self, number: int, frame: FrameType | None) -> None:
        if not self._is_importing(frame):
            self._stop_waiting()
            raise KeyboardInterrupt
        if self._is_waiting:
            os._exit(STOPPED + number)
        self._is_waiting = True
        self._pause = LOOK_AGAIN_SECONDS
        self._alarm = signal.signal(signal.SIGALRM, self._look_again)
        signal.setitimer(signal.ITIMER_REAL, self._pause)

    def _look_again(self, number: int, frame: FrameType | None) -> None:
        if self._is_importing(frame):
            self._pause *= 2
            signal.setitimer(signal.ITIMER_REAL, self._pause)
            return
        self._stop_waiting()
        # Not raised here: whoever has taken the signal meanwhile, as a training that saves first, is told.
        signal.raise_signal(signal.SIGINT)

    def _stop_waiting(self) -> None:
        if self._is_waiting:
            self._is_waiting = False
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, self._alarm)

    def _is_importing(self, frame: FrameType | None) -> bool:
        while frame is not None and frame.f_code is not self._inside:
            if frame.f_code.co_filename == IMPORT_SYSTEM:
                return True
            frame = frame.f_back
        return False
