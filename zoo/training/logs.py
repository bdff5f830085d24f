"""All that a run writes about itself as it goes, on its first rank.

    metrics.csv           always: rows of numbers, see `columns` in conductor.py
    evaluation/           a file for each validation, with the curves of the loss by position
    samples.jsonl         what the model wrote at each validation
    tensorboard/, wandb   copies of metrics.csv, where the config asks for them

When a run goes on from a checkpoint, what was written of later steps is dropped first: it will be written again.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

from zoo.config import to_mapping
from zoo.training.config import RunConfig
from zoo.training.evaluation import FOLDER as EVALUATIONS
from zoo.training.evaluation import Evaluation, forget_evaluations, write_evaluation
from zoo.training.metrics_file import MetricsFile
from zoo.training.progress import Progress
from zoo.training.run_folder import RunFolder
from zoo.training.samples import SamplesFile, in_one_line
from zoo.training.tensorboard_log import TensorBoardLog
from zoo.training.wandb_log import WandbLog

KEPT = ("metrics.csv", "samples.jsonl", EVALUATIONS)
"""What a branch takes over of the run that it comes from; the rows past its step go when its logs are opened."""


def copy_logs(run: Path, other: Path) -> None:
    """Copies what a run wrote about itself into the folder of another."""
    for name in KEPT:
        if (run / name).is_dir():
            shutil.copytree(run / name, other / name, dirs_exist_ok=True)
        elif (run / name).is_file():
            shutil.copyfile(run / name, other / name)


class Copy(Protocol):
    """Where the rows of metrics.csv go too."""

    def write(self, row: dict[str, float]) -> None:
        """Takes one row."""

    def close(self) -> None:
        """Ends it."""


class Logs:
    """The open logs.

    Args:
        config: says which there are.
        folder: the run folder.
        columns: of metrics.csv.
        after_step: what was written of later steps is dropped.
        progress: what a person sees.
    """

    def __init__(
        self, config: RunConfig, folder: RunFolder, columns: list[str], after_step: int, progress: Progress
    ) -> None:
        self.folder = folder.path
        self.show_samples = config.samples.show
        self.progress = progress
        self.file = MetricsFile(folder.metrics, columns, after_step)
        self.samples = SamplesFile(self.folder / "samples.jsonl", after_step)
        forget_evaluations(self.folder, after_step)
        self.copies: list[Copy] = []
        if config.wandb.enabled:
            self.copies.append(WandbLog(config.wandb, config.name, self.folder, to_mapping(config)))
        if config.logging.tensorboard:
            self.copies.append(TensorBoardLog(self.folder))

    def write(self, row: dict[str, float]) -> None:
        """Writes one row of numbers."""
        self.file.write(row)
        for copy in self.copies:
            copy.write(row)

    def write_validation(self, step: int, evaluation: Evaluation, samples: Iterable[dict[str, Any]]) -> None:
        """Writes what a validation found beside its row: curves, and what the model wrote."""
        write_evaluation(self.folder, step, evaluation)
        for row in samples:
            self.samples.write(step, row)
            if self.show_samples:
                self.progress.say(in_one_line(row))

    def sync(self) -> None:
        """Returns when all rows are on the disk: no checkpoint is to be newer than the log that leads to it."""
        self.file.sync()

    def close(self) -> None:
        """Closes them all."""
        self.progress.close()
        self.file.close()
        for copy in self.copies:
            copy.close()
