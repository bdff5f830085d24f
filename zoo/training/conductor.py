"""After each step, in this order: log, validate, save, stop.

One callback does all four, because their order is what makes a kill harmless: a checkpoint is written after the log row
and the validation of its step, so a run that continues from it repeats neither and loses neither.
"""

from __future__ import annotations

import math
import time
import warnings
from pathlib import Path
from typing import Any

import pytorch_lightning as lightning
import torch
from pytorch_lightning.callbacks import Checkpoint
from torch import Tensor

from zoo.checkpoint.folder import prune, steps_of
from zoo.checkpoint.model import TRAINING_FORMAT
from zoo.checkpoint.standing import RunStanding
from zoo.errors import DataError, TrainingError
from zoo.objectives.mixture import MixedRows
from zoo.training.best import Standing
from zoo.training.budget import Spent
from zoo.training.config import RunConfig
from zoo.training.ema import WeightAverage
from zoo.training.evaluation import evaluate
from zoo.training.imports import check_ranks
from zoo.training.interrupt import Interrupted
from zoo.training.logs import Logs
from zoo.training.measures import measure_names
from zoo.training.memory_use import memory_columns, memory_row
from zoo.training.module import TrainingModule
from zoo.training.part_norms import PartNorms, norm_columns
from zoo.training.peak import peak_flops
from zoo.training.precision import FORMATS, SCALED
from zoo.training.progress import make_progress
from zoo.training.run_folder import RunFolder
from zoo.training.samples import Samples
from zoo.training.shares import COLUMN, SourceTokens
from zoo.training.utilization import Utilization

ADDED_LOSS = "train/added_loss"
"""What parts of the model add to the loss (the balancing of experts); `train/loss` is that of the objectives alone."""


AVERAGED = "validation_ema"
"""What `validation/…` is for the weights is `validation_ema/…` for their moving average."""

SCALING = ["loss_scale", "skipped_steps"]
"""Under a scaled loss: what the loss of the step was multiplied by, and how many steps were skipped so far."""


def columns(module: TrainingModule, config: RunConfig, sources: tuple[str, ...] = ()) -> list[str]:
    """The columns of metrics.csv; `sources` are those of a mixture."""
    objectives = list(module.objectives)
    validations = ["validation", *([] if config.trainer.ema is None else [AVERAGED])]
    measures = measure_names(config.objectives, sources)
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
        *(SCALING if config.trainer.precision == SCALED else []),
        "tokens_per_second",
        "mfu",
        *memory_columns(module.device),
        *Utilization(module.device).columns,
        *(norm_columns(module.model) if config.logging.norms else []),
        *(f"{prefix}/{name}" for prefix in validations for name in measures),
    ]


class Conductor(Checkpoint):
    """Logs, validates, saves and stops.

    Args:
        config: the run.
        folder: its folder.
        validation: held-out rows; None: nothing is held out.
        samples: what the model writes at each validation; None: nothing.
        fingerprints: of the text and the tokenizer, by name; a checkpoint made with others is refused.
        average: of the weights, which is moved after each step and validated beside them; None: none is kept.
    """

    def __init__(
        self,
        config: RunConfig,
        folder: RunFolder,
        validation: MixedRows | None,
        samples: Samples | None,
        fingerprints: dict[str, str],
        average: WeightAverage | None = None,
    ) -> None:
        self.run = config
        self.config = config.trainer
        self.budget = config.trainer.budget
        self.folder = folder
        self.fingerprints = fingerprints
        self.average = average
        self.validation = validation
        self.samples = samples
        self.standing = Standing(config.best)
        self.logs: Logs | None = None
        """Where rows go, on the first rank; elsewhere there are none."""
        self.spent = Spent()
        self.ended = False
        self.sources = SourceTokens()
        self.skipped = 0
        self.last: dict[str, float] = {}
        self.first_loss: float | None = None
        self._peak = 0.0
        self._utilization = Utilization(torch.device("cpu"))  # of the run's device once the run starts
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
            "standing": self.standing.state(),
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
        self.standing.restore(state["standing"])

    def on_train_start(self, trainer: lightning.Trainer, module: Any) -> None:
        """Checks that all ranks have the same own blocks, opens the logs, measures the peak."""
        check_ranks(trainer)
        self.spent.steps = trainer.global_step
        module.spent = self.spent
        module.clock = lambda: self.spent.seconds + time.perf_counter() - self._resumed_at
        self.sources.begin(trainer.datamodule.rows.sources)  # type: ignore[attr-defined]  # Lightning sets it
        self._utilization = Utilization(module.device)
        if trainer.is_global_zero:
            progress = make_progress(self.folder.path.name, self.spent.of(self.budget.unit), self.budget)
            names = columns(module, self.run, self.sources.names)
            self.logs = Logs(self.run, self.folder, names, trainer.global_step, progress)
            self._peak = peak_flops(module.device, FORMATS[self.config.precision].products)
            self._utilization.say_what_is_missing()
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
            self.logs.close()
            self.logs = None

    # --------------------------------------------------------------------------------------- before and after each step

    def on_train_batch_start(self, trainer: lightning.Trainer, module: Any, batch: Any, index: int) -> None:
        """Has the norms of the step measured, where its row is to have them."""
        wanted = self.run.logging.norms and self._is_logged(trainer.global_step + 1)
        module.norms = PartNorms(module.model) if wanted else None

    def on_train_batch_end(self, trainer: lightning.Trainer, module: Any, outputs: Any, batch: Any, index: int) -> None:
        """Log, validate, save, stop."""
        step = trainer.global_step
        self._count(module)
        self.sources.count(batch)
        if self.average is not None and not module.record.skipped:
            self.average.update(step)
        row: dict[str, float] = {}
        if self._is_logged(step):
            row |= self._training_row(trainer, module)
        if self.validation is not None and self._due(step, self.config.validate_every):
            row |= self._validation_row(trainer, module, "validation")
            if self.average is not None and self.average.begun:
                with self.average.applied():
                    row |= self._validation_row(trainer, module, AVERAGED)
            self.standing.judge(step, row.get(self.standing.config.metric, math.nan))
        self._write(step, row)
        if self._due(step, self.config.save_every) or self.standing.asks_for(step) or module.stop_number:
            self._save(trainer, step)
        if module.stop_number:
            self._close_logs()
            trainer.strategy.barrier()  # so that no rank ends while the first is still busy with the log
            raise Interrupted(module.stop_number, step)
        trainer.should_stop |= self.ended or bool(self.standing.ended)
        self._resumed_at = time.perf_counter()

    def _is_logged(self, step: int) -> bool:
        return step == 1 or self._due(step, self.config.log_every)

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
            row["mfu"] = self._share_of_peak(module, row["tokens_per_second"] / trainer.world_size)
        self._interval_tokens, self._interval_seconds = 0, 0.0
        row |= memory_row(module.device) | self._utilization.row()
        if module.norms is not None:
            row |= module.norms.row
        if self.first_loss is None:
            self.first_loss = row["train/loss"]
        return row

    def _share_of_peak(self, module: TrainingModule, tokens_per_second: float) -> float:
        """Share of a device's peak, taking this step for typical."""
        if not self._peak or not module.record.num_tokens:
            return 0.0
        return module.record.flops / module.record.num_tokens * tokens_per_second / self._peak

    def _validation_row(self, trainer: lightning.Trainer, module: TrainingModule, prefix: str) -> dict[str, float]:
        assert self.validation is not None
        step, precision = trainer.global_step, trainer.precision_plugin.forward_context
        with module.shown_weights():
            evaluation = evaluate(
                module,
                self.validation,
                self.config.validation_batch_size or self.config.microbatch_rows,
                precision=precision,
                reduce=lambda sums: _sum_over_ranks(trainer, sums),
                rank=trainer.global_rank,
                num_ranks=trainer.world_size,
            )
            if self.logs is not None and prefix == "validation":
                samples = () if self.samples is None else self.samples.write(precision)
                self.logs.write_validation(step, evaluation, samples)
        return {f"{prefix}/{name}": value for name, value in evaluation.means.items()}

    def _write(self, step: int, row: dict[str, float]) -> None:
        if row:
            self.last |= row
        if self.logs is None:
            return
        if row:
            row = {"step": step, "tokens": self.spent.tokens, "seconds": self.spent.seconds, **row}
            self.logs.write(row)
        self.logs.progress.update(self.spent.of(self.budget.unit), row)

    def _settle_sources(self, trainer: lightning.Trainer) -> None:
        self.sources.settle(lambda counts: _sum_over_ranks(trainer, counts), trainer.strategy.root_device)

    def standing_at(self, step: int) -> RunStanding:
        """What the checkpoint of a step is to say of the run; best steps without a checkpoint are left out."""
        return RunStanding(self.standing.config.metric, self._best_kept(step), self.standing.ended)

    def best_checkpoint(self, step: int) -> Path | None:
        """The checkpoint of the best validation up to a step; None: none is kept."""
        best = self._best_kept(step)
        return self._place(best[0][0]) if best else None

    def _best_kept(self, step: int) -> list[tuple[int, float]]:
        best = self.standing.ranked[: self.standing.config.keep]
        return [(each.step, each.value) for each in best if each.step == step or self._place(each.step).is_dir()]

    def _place(self, step: int) -> Path:
        return self.folder.checkpoints / f"step-{step}"

    def _save(self, trainer: lightning.Trainer, step: int) -> None:
        if self.logs is not None:
            self.logs.sync()
        self._settle_sources(trainer)
        module = trainer.lightning_module
        assert isinstance(module, TrainingModule)
        with module.shown_weights():
            trainer.save_checkpoint(self._place(step))
        self._saved_step = step
        if trainer.is_global_zero:
            newest = [path for _, path in steps_of(self.folder.checkpoints)[: self.config.keep]]  # stay in any case
            best = [place for each, _ in self._best_kept(step) if (place := self._place(each)) not in newest]
            for complaint in prune(self.folder.checkpoints, self.config.keep, format=TRAINING_FORMAT, protect=best):
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
