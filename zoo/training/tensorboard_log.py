"""A copy of the log for TensorBoard, in the run folder: `tensorboard --logdir runs`.

metrics.csv is what holds. Each time a run begins or goes on, the copy is made anew from it, so there is neither a gap
nor a duplicate in it, whatever ended the process before, and one that is switched on late has the whole run.
"""

from __future__ import annotations

import importlib.util
import math
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.errors import ConfigError
from zoo.training.metrics_file import as_written, read_numbers

if TYPE_CHECKING:
    from torch.utils.tensorboard.writer import SummaryWriter

FOLDER = "tensorboard"
"""Of a run."""


def check_tensorboard(wanted: bool) -> None:
    """Raises ConfigError where it is wanted and the package is missing."""
    if wanted and importlib.util.find_spec("tensorboard") is None:
        raise ConfigError(
            "the package tensorboard is not installed: pip install '.[tensorboard]' in the clone, or set it to false",
            "logging.tensorboard",
        )


class TensorBoardLog:
    """Writes rows as scalars, a column a tag.

    Args:
        run: the run folder, with the metrics.csv that the run goes on with.
    """

    def __init__(self, run: Path) -> None:
        from torch.utils.tensorboard.writer import SummaryWriter

        folder = run / FOLDER
        if folder.exists():
            shutil.rmtree(folder)
        # Step 0 purges what a viewer that was open all the time has of the files that are gone.
        self._writer: SummaryWriter = SummaryWriter(str(folder), purge_step=0)
        earlier = read_numbers(run / "metrics.csv")
        now = time.time()
        for row in earlier:
            self._add(row, now - (earlier[-1]["seconds"] - row["seconds"]))
        self._writer.flush()

    def write(self, row: dict[str, float]) -> None:
        """Adds a row; it is on disk within two minutes, or when the log is closed."""
        self._add(as_written(row), time.time())

    def close(self) -> None:
        """Writes out what is left."""
        self._writer.close()

    def _add(self, row: dict[str, float], when: float) -> None:
        for name, value in row.items():
            if name != "step" and math.isfinite(value):
                self._writer.add_scalar(name, value, int(row["step"]), walltime=when)
