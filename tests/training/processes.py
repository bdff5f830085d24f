"""The command `zoo` in processes of its own, to be stopped and killed.

`Command` is the real one: `python -m zoo …`, which spends seconds on importing Lightning. `Forked` does the same work
in a process forked off a server that has imported everything beforehand and computed nothing: the code that runs, the
run folder, the signals and the death are real, only the imports are not repeated.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from multiprocessing import forkserver
from pathlib import Path
from typing import Protocol

from tests.conftest import ROOT

PATIENCE = 300
"""Seconds after which a process that should have ended is given up: far more than a busy machine needs."""

_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(["zoo.cli.main", "zoo.training.run", "tests.training.processes"])


class Process(Protocol):
    """A running command: its number, and how it ended."""

    pid: int
    output: Path

    def poll(self) -> int | None:
        """The exit status, negative for a signal; None: it runs."""

    def wait(self) -> int:
        """The exit status, negative for a signal."""

    def kill(self) -> None:
        """SIGKILL, to the process alone: what it has started must find out."""


class Command:
    """`python -m zoo` with these arguments; stdout and stderr go to a file."""

    def __init__(self, arguments: Sequence[object], folder: Path, program: Sequence[object] = ("-m", "zoo")) -> None:
        self.output = folder / "output.txt"
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        with self.output.open("wb") as file:
            self._process = subprocess.Popen(
                [sys.executable, *map(str, program), *map(str, arguments)],
                cwd=folder,
                env=environment,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.pid = self._process.pid

    def poll(self) -> int | None:
        """The exit status, negative for a signal; None: it runs."""
        return self._process.poll()

    def wait(self) -> int:
        """The exit status, negative for a signal."""
        try:
            return self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"no end after {PATIENCE} s: {self.output.read_text()}") from None

    def kill(self) -> None:
        """SIGKILL, to the process alone: what it has started must find out."""
        self._process.kill()


class Forked:
    """The same command, forked off the server; `prepare` is called in the child before it."""

    def __init__(self, arguments: Sequence[object], folder: Path, prepare: Callable[[], None] | None = None) -> None:
        self.output = folder / "output.txt"
        self.output.write_bytes(b"")
        words = [str(argument) for argument in arguments]
        _start_server()
        self._process = _SERVER.Process(target=_run_command, args=(words, str(folder), str(self.output), prepare))
        self._process.start()
        assert self._process.pid is not None
        self.pid: int = self._process.pid

    def poll(self) -> int | None:
        """The exit status, negative for a signal; None: it runs."""
        return self._process.exitcode

    def wait(self) -> int:
        """The exit status, negative for a signal."""
        self._process.join(PATIENCE)
        if self._process.exitcode is None:
            self.kill()
            raise AssertionError(f"no end after {PATIENCE} s: {self.output.read_text()}")
        return self._process.exitcode

    def kill(self) -> None:
        """SIGKILL, to the process alone: what it has started must find out."""
        self._process.kill()


def _start_server() -> None:
    """Starts the server, if it does not run yet, on this tree's code: it does not look where its parent looks."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(ROOT)
    forkserver.ensure_running()
    os.environ.pop("PYTHONPATH")
    if before is not None:
        os.environ["PYTHONPATH"] = before


def _run_command(arguments: list[str], folder: str, output: str, prepare: Callable[[], None] | None) -> None:
    import torch

    from zoo.cli.main import main

    multiprocessing.set_start_method(
        "fork", force=True
    )  # of data workers: as in the real command, not as in this child
    # whoever started the tests may have had Ctrl-C ignored (nohup, a shell's &), which is passed on
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(folder)
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(file, 1)
    os.dup2(file, 2)
    torch.set_num_threads(1)
    if prepare is not None:
        prepare()
    sys.exit(main(arguments))


def wait_until(condition: Callable[[], object], process: Process) -> None:
    """Waits for the condition; fails where the process ends first."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert process.poll() is None, f"ended with {process.poll()}: {process.output.read_text()}"
        if time.monotonic() > deadline:
            process.kill()
            raise AssertionError(f"nothing after {PATIENCE} s: {process.output.read_text()}")
        time.sleep(0.01)


def wait_until_it_trains(process: Process) -> None:
    """Waits for the first line of progress, which comes after the first steps."""
    wait_until(lambda: "loss" in process.output.read_text(), process)


def hold_at_step(step: int) -> None:
    """For the child: the run waits in this step for a signal, so that none comes too late, however slow its sender."""
    from zoo.training.interrupt import StopFlag

    votes, calls = StopFlag.votes, iter(range(1, 1_000_000))

    def held(self: StopFlag) -> list[int]:
        end = time.monotonic() + PATIENCE
        if next(calls) == step:
            while not self.signal_number and time.monotonic() < end:
                time.sleep(0.01)
        return votes(self)

    StopFlag.votes = held  # type: ignore[method-assign]
