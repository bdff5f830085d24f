"""After each step, in this order: log, validate, save, stop.

One callback does all four, because their order is what makes a kill harmless: a checkpoint is written after the log row
and the validation of its step, so a run that continues from it repeats neither and loses neither.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytorch_lightning as lightning
from pytorch_lightning.callbacks import Checkpoint
from torch import Tensor

from zoo.checkpoint.folder import prune
from zoo.checkpoint.model import TRAINING_FORMAT
from zoo.errors import DataError, TrainingError
from zoo.objectives.mixture import MixedRows
from zoo.training.budget import Spent
from zoo.training.config import TrainerConfig
from zoo.training.ema import WeightAverage
from zoo.training.evaluation import evaluate, metric_names
from zoo.training.imports import check_ranks
from zoo.training.interrupt import Interrupted
from zoo.training.metrics_file import MetricsFile
from zoo.training.module import TrainingModule
from zoo.training.peak import peak_flops
from zoo.training.precision import FORMATS, SCALED
from zoo.training.progress import Progress, make_progress
from zoo.training.run_folder import RunFolder
from zoo.training.shares import COLUMN, SourceTokens
from zoo.training.wandb_log import WandbLog


class Logs(NamedTuple):
    """Where rows go, on the first rank; elsewhere there are none."""

    file: MetricsFile
    progress: Progress
    wandb: WandbLog | None


ADDED_LOSS = "train/added_loss"
"""What parts of the model add to the loss (the balancing of experts); `train/loss` is that of the objectives alone."""


AVERAGED = "validation_ema"
"""What `validation/…` is for the weights is `validation_ema/…` for their moving average."""

SCALING = ["loss_scale", "skipped_steps"]
"""Under a scaled loss: what the loss of the step was multiplied by, and how many steps were skipped so far."""


def columns(module: TrainingModule, config: TrainerConfig, sources: tuple[str, ...] = ()) -> list[str]:
    """The columns of metrics.csv; `sources` are those of a mixture."""
    objectives = list(module.objectives)
    counts = {f"{name}/count" for name in objectives}
    validations = ["validation", *([] if config.ema is None else [AVERAGED])]
    metrics = [name for name in metric_names(module) if name not in counts]
    return [
        "step",
        "tokens",
        "seconds",
        "train/loss",
        *(f"train/{name}/loss" for name in objectives),
        *(f"train/{name}/targets" for name in objectives),
        *([ADDED_LOSS] if any(part.adds_loss for part in module.step_aware) else []),
        *(f"{COLUMN}{name}" for name in sources),
        "learning_rate",
        "gradient_norm",
        *(SCALING if config.precision == SCALED else []),
        "tokens_per_second",
        "mfu",
        *(f"{prefix}/{name}" for prefix in validations for name in ("loss", *metrics)),
    ]


class Conductor(Checkpoint):
    """Logs, validates, saves and stops.

    Args:
        config: intervals.
        folder: the run folder.
        validation: held-out rows; None: nothing is held out.
        open_wandb: starts the wandb log, or gives None.
        fingerprints: of the text and the tokenizer, by name; a checkpoint made with others is refused.
        average: of the weights, which is moved after each step and validated beside them; None: none is kept.
    """

    def __init__(
        self,
        config: TrainerConfig,
        folder: RunFolder,
        validation: MixedRows | None,
        open_wandb: Callable[[], WandbLog | None],
        fingerprints: dict[str, str],
        average: WeightAverage | None = None,
    ) -> None:
        self.config = config
        self.budget = config.budget
        self.folder = folder
        self.fingerprints = fingerprints
        self.average = average
        self.validation = validation
        self.open_wandb = open_wandb
        self.logs: Logs | None = None
        self.spent = Spent()
        self.ended = False
        self.sources = SourceTokens()
        self.skipped = 0
        self.last: dict[str, float] = {}
        self.first_loss: float | None = None
        self._peak = 0.0
        self._interval_tokens = 0
        self._interval_seconds = 0.0
        self._resumed_at = 0.0
        self._saved_step = 0

    # ------------------------------------------------------------------------------------------------ state and frame

    def state_dict(self) -> dict[str, Any]:
        """What a continued run needs to go on counting."""
        return {
            "tokens": self.spent.tokens,
            "flops": self.spent.flops,
            "seconds": self.spent.seconds,
            "skipped": self.skipped,
            "last": self.last,
            "first_loss": self.first_loss,
            "source_tokens": self.sources.state,
            "fingerprints": self.fingerprints,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Counts on; raises DataError where the checkpoint was made with other text or another tokenizer."""
        for name, fingerprint in self.fingerprints.items():
            if state["fingerprints"].get(name) != fingerprint:
                raise DataError(
                    f"the {name} changed since {self.folder.path} was begun; put it back, or start anew with --fresh"
                )
        self.spent = spent_by(state)
        self.skipped = state["skipped"]
        self.last, self.first_loss = state["last"], state["first_loss"]
        self.sources.state = state.get("source_tokens", [])

    def on_train_start(self, trainer: lightning.Trainer, module: Any) -> None:
        """Checks that all ranks have the same own blocks, opens the logs, measures the peak."""
        check_ranks(trainer)
        self.spent.steps = trainer.global_step
        module.spent = self.spent
        module.clock = lambda: self.spent.seconds + time.perf_counter() - self._resumed_at
        self.sources.begin(trainer.datamodule.rows.sources)  # type: ignore[attr-defined]  # Lightning sets it
        if trainer.is_global_zero:
            names = columns(module, self.config, self.sources.names)
            file = MetricsFile(self.folder.metrics, names, trainer.global_step)
            progress = make_progress(self.folder.path.name, self.spent.of(self.budget.unit), self.budget)
            self.logs = Logs(file, progress, self.open_wandb())
            self._peak = peak_flops(module.device, FORMATS[self.config.precision].products)
        self._resumed_at = time.perf_counter()
        self._saved_step = (
            trainer.global_step
        )  # what the run continues from is on disk; asking the disk, ranks may differ

    def teardown(self, trainer: lightning.Trainer, module: Any, stage: str) -> None:
        """Closes the logs of a run that came to its end."""
        self._close_logs()

    def on_exception(self, trainer: lightning.Trainer, module: Any, exception: BaseException) -> None:
        """Keeps what is good of a run that broke off, and closes its logs."""
        step = trainer.global_step
        # All ranks see the same gradient and come here in the same step, the weights being those of the last good one.
        if isinstance(exception, TrainingError) and step != self._saved_step:
            self._save(trainer, step)
        self._close_logs()

    def _close_logs(self) -> None:
        if self.logs is not None:
            self.logs.progress.close()
            self.logs.file.close()
            if self.logs.wandb is not None:
                self.logs.wandb.close()
            self.logs = None

    # ------------------------------------------------------------------------------------------------- after each step

    def on_train_batch_end(self, trainer: lightning.Trainer, module: Any, outputs: Any, batch: Any, index: int) -> None:
        """Log, validate, save, stop."""
        step = trainer.global_step
        self._count(module)
        self.sources.count(batch)
        if self.average is not None and not module.record.skipped:
            self.average.update(step)
        row: dict[str, float] = {}
        if step == 1 or self._due(step, self.config.log_every):
            row |= self._training_row(trainer, module)
        if self.validation is not None and self._due(step, self.config.validate_every):
            row |= self._validation_row(trainer, module, "validation")
            if self.average is not None and self.average.begun:
                with self.average.applied():
                    row |= self._validation_row(trainer, module, AVERAGED)
        self._write(step, row)
        if self._due(step, self.config.save_every) or module.stop_number:
            self._save(trainer, step)
        if module.stop_number:
            self._close_logs()
            trainer.strategy.barrier()  # so that no rank ends while the first is still busy with the log
            raise Interrupted(module.stop_number, step)
        trainer.should_stop |= self.ended
        self._resumed_at = time.perf_counter()

    def _due(self, step: int, every: int | None) -> bool:
        return self.ended or (every is not None and step % every == 0)

    def _count(self, module: TrainingModule) -> None:
        """Adds the step to what is counted; the time runs from the end of the last one, its loading included."""
        elapsed = time.perf_counter() - self._resumed_at
        self.spent.steps += 1
        self.spent.tokens += module.record.num_tokens
        self.spent.flops += module.record.flops
        self.spent.seconds += elapsed
        self.ended = self.budget.is_spent(self.spent)
        self.skipped += module.record.skipped
        self._interval_tokens += module.record.num_tokens
        self._interval_seconds += elapsed

    def _training_row(self, trainer: lightning.Trainer, module: TrainingModule) -> dict[str, float]:
        record = module.record
        losses = _sum_over_ranks(trainer, record.losses.clone()) / record.counts.clamp(min=1)
        row: dict[str, float] = {"train/loss": 0.0}
        for number, (name, objective) in enumerate(module.objectives.items()):
            row[f"train/{name}/loss"] = float(losses[number])
            row[f"train/{name}/targets"] = int(record.counts[number])
            row["train/loss"] += objective.config.weight * row[f"train/{name}/loss"]
        self._settle_sources(trainer)
        row |= self.sources.row()
        if any(part.adds_loss for part in module.step_aware):
            row[ADDED_LOSS] = float(record.added_loss)
        row["learning_rate"] = record.learning_rate
        if not record.skipped:
            row["gradient_norm"] = record.gradient_norm
        if self.config.precision == SCALED:
            row |= dict(zip(SCALING, (record.loss_scale, self.skipped), strict=True))
        if self._interval_seconds > 0:
            row["tokens_per_second"] = self._interval_tokens / self._interval_seconds
            row["mfu"] = self._utilization(module, row["tokens_per_second"] / trainer.world_size)
        self._interval_tokens, self._interval_seconds = 0, 0.0
        if self.first_loss is None:
            self.first_loss = row["train/loss"]
        return row

    def _utilization(self, module: TrainingModule, tokens_per_second: float) -> float:
        """Share of a device's peak, taking this step for typical."""
        if not self._peak or not module.record.num_tokens:
            return 0.0
        return module.record.flops / module.record.num_tokens * tokens_per_second / self._peak

    def _validation_row(self, trainer: lightning.Trainer, module: TrainingModule, prefix: str) -> dict[str, float]:
        assert self.validation is not None
        with module.shown_weights():
            means = evaluate(
                module,
                self.validation,
                self.config.validation_batch_size or self.config.microbatch_rows,
                precision=trainer.precision_plugin.forward_context,
                reduce=lambda sums: _sum_over_ranks(trainer, sums),
                rank=trainer.global_rank,
                num_ranks=trainer.world_size,
            )
        return {f"{prefix}/{name}": value for name, value in means.items()}

    def _write(self, step: int, row: dict[str, float]) -> None:
        if row:
            self.last |= row
        if self.logs is None:
            return
        if row:
            row = {"step": step, "tokens": self.spent.tokens, "seconds": self.spent.seconds, **row}
            self.logs.file.write(row)
            if self.logs.wandb is not None:
                self.logs.wandb.write(row)
        self.logs.progress.update(self.spent.of(self.budget.unit), row)

    def _settle_sources(self, trainer: lightning.Trainer) -> None:
        self.sources.settle(lambda counts: _sum_over_ranks(trainer, counts), trainer.strategy.root_device)

    def _save(self, trainer: lightning.Trainer, step: int) -> None:
        self._settle_sources(trainer)
        module = trainer.lightning_module
        assert isinstance(module, TrainingModule)
        with module.shown_weights():
            trainer.save_checkpoint(self.folder.checkpoints / f"step-{step}")
        self._saved_step = step
        if trainer.is_global_zero:
            for complaint in prune(self.folder.checkpoints, self.config.keep, format=TRAINING_FORMAT):
                warnings.warn(complaint, stacklevel=2)


def _sum_over_ranks(trainer: lightning.Trainer, tensor: Tensor) -> Tensor:
    total = trainer.strategy.reduce(tensor, reduce_op="sum")
    assert isinstance(total, Tensor)
    return total


def spent_by(state: dict[str, Any]) -> Spent:
    """What the state of a conductor in a checkpoint says is used up; the steps are said by the checkpoint's name."""
    return Spent(0, state["tokens"], state["flops"], state["seconds"], clock=state["seconds"])


def state_in(tree: dict[str, Any]) -> dict[str, Any]:
    """The conductor's part of the training state in a checkpoint."""
    state: dict[str, Any] = tree["callbacks"][Conductor.__qualname__]
    return state


def checkpoint_step(path: Path) -> int:
    """The step of a step-N folder."""
    return int(path.name.removeprefix("step-"))
