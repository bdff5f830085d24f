"""A copy of the log for Weights & Biases that can neither block nor end a run.

Everything happens in a thread of its own: starting, sending, finishing. The run only puts rows into a queue. Without a
key the log is kept offline in the run folder. Whatever fails is said once, and the run goes on. The run's own thread
says it: Python's filters of warnings belong to all threads, and what another one says is lost where Lightning or torch
holds warnings back for a moment.

metrics.csv is what holds. Each time a run begins or goes on, all its rows are lined up, and those are sent that lie
behind what is there already: on the server, or, offline, in the folders of earlier starts (`wandb_files.py`). Runs are
exact, so a row that was sent before a kill is the row that comes again after it, and is left out; one that a kill took
with it is sent from the file. There is one row a step, as wandb wants it.
"""

from __future__ import annotations

import netrc
import os
import queue
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

from zoo.checkpoint.disk import replace_file
from zoo.training.config import WandbConfig
from zoo.training.metrics_file import as_written, read_numbers
from zoo.training.wandb_files import ID, last_step, remember

FINISH_SECONDS = 20.0
"""How long the end of a run waits for rows that are still to be sent."""


class WandbLog:
    """Sends rows from a thread.

    Args:
        config: project and account.
        name: of the run.
        folder: the run folder, with the metrics.csv that the run goes on with; offline data and the run's id are kept
            there.
        settings: the resolved config as plain data.
    """

    def __init__(self, config: WandbConfig, name: str, folder: Path, settings: dict[str, Any]) -> None:
        self._folder = folder
        self._rows: queue.SimpleQueue[dict[str, float] | None] = queue.SimpleQueue()
        for row in read_numbers(folder / "metrics.csv"):
            self._rows.put(row)
        self._arguments: dict[str, Any] = {
            "project": config.project,
            "entity": config.entity,
            "name": name,
            "id": _run_id(folder),
            "resume": "allow",
            "dir": str(folder),
            "config": settings,
        }
        self._trouble = ""
        self._thread = threading.Thread(target=self._work, name="wandb", daemon=True)
        self._thread.start()

    def write(self, row: dict[str, float]) -> None:
        """Queues one row; never waits."""
        self._say_trouble()
        self._rows.put(as_written(row))

    def close(self) -> None:
        """Waits a little for what is still to be sent."""
        self._rows.put(None)
        self._thread.join(FINISH_SECONDS)
        if self._thread.is_alive():
            warnings.warn("wandb did not finish in time; metrics.csv has everything", stacklevel=2)
        self._say_trouble()

    def _say_trouble(self) -> None:
        if self._trouble:
            trouble, self._trouble = self._trouble, ""
            told = f"{trouble}; metrics.csv goes on"
            try:
                warnings.warn(told, stacklevel=3)
            except UserWarning:  # where warnings are errors (python -W error): nothing here may end a run
                print(f"warning: {told}", file=sys.stderr)

    def _work(self) -> None:
        try:
            import wandb

            mode: Any = os.environ.get("WANDB_MODE") or ("online" if _has_key() else "offline")
            settings = wandb.Settings(init_timeout=30, finish_timeout=FINISH_SECONDS, silent=True, console="off")
            run = wandb.init(**self._arguments, mode=mode, settings=settings)
            there = self._last_step(run)
            while (row := self._rows.get()) is not None:
                if (step := int(row["step"])) > there:
                    run.log({name: value for name, value in row.items() if name != "step"}, step=step)
                    there = step
            run.finish()
            if run.offline:
                remember(self._folder, there)  # its file may not have them all yet: another process writes it
        except ImportError:
            self._trouble = "wandb is not installed (pip install '.[wandb]' in the clone)"
        except Exception as error:  # whatever a logger does must not end a run
            self._trouble = f"wandb stopped ({error})"

    def _last_step(self, run: Any) -> int:
        """The last step that wandb has a row of: the server, or the folders of a run that is kept offline."""
        if not run.offline:
            return int(run.starting_step) - 1  # of a run that is resumed, the step after the server's last one; else 0
        step = last_step(self._folder, self._arguments["id"])
        remember(self._folder, step)
        return step


def _has_key() -> bool:
    """Whether wandb will find a key by itself: in the environment, or where `wandb login` leaves it."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        return any("wandb" in host for host in netrc.netrc().hosts)
    except (OSError, netrc.NetrcParseError):
        return False


def _run_id(folder: Path) -> str:
    """The id under which a continued run is found again."""
    path = folder / ID
    if not path.exists():
        replace_file(path, os.urandom(8).hex(), durable=True)
    return path.read_text(encoding="utf-8").strip()
