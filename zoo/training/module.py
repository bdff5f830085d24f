"""One optimizer step, the same for every family and objective.

The loss of a step is Σ over objectives of weight · (sum over its targets) / (number of its targets), both over all
microbatches and ranks. The counts are known before the first backward, so each microbatch contributes its exact share
of the mean, however the step is split. (Lightning's own accumulation averages the means of microbatches, which is
another function as soon as they differ in targets.) Lightning's precision, strategy and callbacks stay in use.

Parts of the model may add to the loss (the balancing of experts), the mean over the forwards of the step, and change
after the update by what they counted in the whole step (`zoo/nn/step.py`).
"""

from __future__ import annotations

import contextlib
import hashlib
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytorch_lightning as lightning
import torch
from pytorch_lightning.core.optimizer import LightningOptimizer
from pytorch_lightning.strategies import ParallelStrategy
from torch import Tensor

from zoo.errors import TrainingError
from zoo.models.base import Model
from zoo.nn.step import step_aware, watched
from zoo.objectives.base import Objective, Scores
from zoo.objectives.mixture import Part
from zoo.training.budget import FlopCounter, Spent
from zoo.training.datamodule import Step
from zoo.training.interrupt import StopFlag, agreed
from zoo.training.loss_scaling import LEAST_SCALE, ScaledPrecision
from zoo.training.optimizers import OptimizerConfig, shown_weights
from zoo.training.part_norms import PartNorms
from zoo.training.precision import gradient_norm
from zoo.training.schedule import Course


class StepRecord:
    """What the last step left behind for whoever logs it.

    Attributes:
        losses: (objectives,) this rank's summed losses. counts: (objectives,) targets over all ranks.
        added_loss: what parts of the model added to the step's loss, a scalar.
        gradient_norm: global norm before clipping. num_tokens, flops: over all ranks. learning_rate: of the step.
        loss_scale: what the loss was multiplied by for the backward.
        skipped: whether a gradient overflowed under it, so that the step changed nothing.
    """

    losses: Tensor
    counts: Tensor
    added_loss: Tensor
    gradient_norm: float
    num_tokens: int
    flops: int
    learning_rate: float
    loss_scale: float = 1.0
    skipped: bool = False


class TrainingModule(lightning.LightningModule):
    """Model, objectives, optimizer and schedule.

    Args:
        model: what is trained.
        objectives: what it is trained on, by name.
        optimizer: how gradients become updates.
        course: how the learning rate moves over the run.
        gradient_clip: largest global norm of the gradient; None: not clipped.
        seed: of dropout.

    Attributes:
        run_backbone: what training steps call for hidden states: the model's backbone, or that compiled.
    """

    def __init__(
        self,
        model: Model,
        objectives: Mapping[str, Objective],
        optimizer: OptimizerConfig,
        course: Course,
        gradient_clip: float | None,
        seed: int,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.model = model
        self.objectives = dict(objectives)
        self.optimizer_config = optimizer
        self.course = course
        self.spent = Spent()
        self.clock: Callable[[], float] = lambda: 0.0
        self.flop_counter = FlopCounter(model)
        self.gradient_clip = gradient_clip
        self.seed = seed
        self.run_backbone: Callable[..., Tensor] = model.backbone.__call__
        self.step_aware = step_aware(model)
        self.record = StepRecord()
        self.norms: PartNorms | None = None
        """What looks at the gradients and the update of the next step; None: nothing does."""
        self.stop = StopFlag()
        self.stop_number = 0

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """The one optimizer of the run."""
        return self.optimizer_config.build(self.model, self.model.config.initialization)

    def shown_weights(self) -> contextlib.AbstractContextManager[None]:
        """Inside, the model has the weights to evaluate and to save; afterwards those to train on, to the bit."""
        optimizer = self.optimizers(use_pl_optimizer=False)
        assert isinstance(optimizer, torch.optim.Optimizer)
        return shown_weights(optimizer)

    @property
    def scaling(self) -> ScaledPrecision | None:
        """What scales the loss and may skip a step; None: nothing does."""
        plugin = self.trainer.precision_plugin
        return plugin if isinstance(plugin, ScaledPrecision) else None

    def training_step(self, step: Step, index: int) -> None:
        """One optimizer step over all its microbatches."""
        done = self.trainer.global_step
        parts = [part for microbatch in step.microbatches for part in microbatch]
        counts = self._reduce_counts(parts, step.num_tokens)
        scales = self._scales(counts)
        if self.scaling is not None:
            self.record.loss_scale = self.scaling.scale
            self.scaling.begin(self.model)
        losses = torch.zeros(len(self.objectives), device=self.device, dtype=torch.float64)
        added_loss = torch.zeros((), device=self.device, dtype=torch.float64)
        with own_stream(self.device):
            for number, part in enumerate(parts):
                seed_dropout(self.device, self.seed, done, self.global_rank, number)
                with watched(self.step_aware) as added:
                    loss = self._part_loss(part, scales, losses)
                for extra in added:
                    loss = loss + extra / len(parts)
                    added_loss += extra.detach() / len(parts)
                last = number == len(parts) - 1
                with self._gradient_sync(last), torch.autocast(self.device.type, enabled=False):
                    self.manual_backward(loss)
        self._update(done)
        self._settle()
        self.record.losses, self.record.counts, self.record.added_loss = losses, counts, added_loss

    def _reduce_counts(self, parts: list[Part], num_tokens: int) -> Tensor:
        """(objectives,) targets of the whole step; tokens, operations, the time and the stop flag ride along."""
        flops = self.flop_counter.of_rows(part.batch.inputs for part in parts)
        microseconds = round(1e6 * self.clock()) if self.global_rank == 0 else 0
        extra = [num_tokens, flops, microseconds, *self.stop.votes()]
        local = torch.zeros(len(self.objectives) + len(extra), device=self.device, dtype=torch.int64)
        for number, (name, objective) in enumerate(self.objectives.items()):
            for part in parts:
                if name in part.batch.labels:
                    local[number] += objective.count(part.batch.labels[name])
        local[-len(extra) :] = torch.tensor(extra)
        total = self.trainer.strategy.reduce(local, reduce_op="sum")
        assert isinstance(total, Tensor)
        counts, rest = total[: -len(extra)], total.tolist()[-len(extra) :]
        self.record.num_tokens, flops, microseconds, *votes = rest
        self.stop_number = agreed(votes)
        scored = zip(self.objectives.values(), counts.tolist(), strict=True)
        flops += self.flop_counter.of_scored * sum(n for each, n in scored if each.config.head == "language_model")
        self.record.flops = flops
        self.spent.clock = microseconds / 1e6
        return counts

    def _scales(self, counts: Tensor) -> Tensor:
        """(objectives,) factor of each summed loss: weight / targets, times the ranks the strategy averages over."""
        weights = torch.tensor([objective.config.weight for objective in self.objectives.values()], device=self.device)
        return weights * self.trainer.world_size / counts.clamp(min=1)

    def _part_loss(self, part: Part, scales: Tensor, losses: Tensor) -> Tensor:
        """The part's share of the step's loss; its summed losses are added to `losses`."""
        hidden_BTD = self.run_backbone(**part.batch.inputs)
        share = hidden_BTD.new_zeros((), dtype=torch.promote_types(hidden_BTD.dtype, torch.float32))
        for number, (name, objective) in enumerate(self.objectives.items()):
            if name in part.batch.labels:
                head = self.model.heads[objective.config.head]
                scores = objective.loss(hidden_BTD, head, part.batch.labels[name])
                share = share + scores.loss * scales[number]
                losses[number] += scores.loss.detach()
        return share

    def _gradient_sync(self, last: bool) -> contextlib.AbstractContextManager[Any]:
        """Ranks exchange gradients in the last backward of the step only."""
        strategy = self.trainer.strategy
        if last or not isinstance(strategy, ParallelStrategy):
            return contextlib.nullcontext()
        block: contextlib.AbstractContextManager[Any] = strategy.block_backward_sync()
        return block

    def _update(self, done: int) -> None:
        """Clips, steps, and clears the gradients; a gradient that is not finite changes nothing and ends the run.

        Under a scaled loss such a step is skipped, until there is no scale left to blame.
        """
        optimizer = self.optimizers()
        assert isinstance(optimizer, LightningOptimizer)
        self.record.skipped = self.scaling is not None and self.scaling.unscale(optimizer.optimizer)
        parameters = list(self.model.parameters())
        norm = gradient_norm(parameters)
        self.record.gradient_norm = float(norm)
        endless = self.record.skipped and self.scaling is not None and self.scaling.scale < LEAST_SCALE
        if endless or not (self.record.skipped or math.isfinite(self.record.gradient_norm)):
            scale = f" at a loss scale of {self.record.loss_scale:g}" if endless else ""
            raise TrainingError(
                f"the gradient of step {done + 1} is not finite ({self.record.gradient_norm}){scale}; "
                f"{self._what_to_do(done, endless)}"
            )
        step = Spent(steps=1, tokens=self.record.num_tokens, flops=self.record.flops)
        rate = self.optimizer_config.learning_rate * self.course.factor(self.spent, step)
        for group in optimizer.param_groups:
            group["lr"] = rate * group["rate_factor"]
        self.record.learning_rate = rate
        with self.norms or contextlib.nullcontext():
            if self.gradient_clip is not None and not self.record.skipped:
                torch.nn.utils.clip_grads_with_norm_(parameters, self.gradient_clip, norm)
            optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    def _what_to_do(self, done: int, endless: bool) -> str:
        """What became of the weights when the gradient after step `done` was not finite, and what would help."""
        plugin, weights = self.trainer.precision_plugin, next(self.model.parameters())
        coarse = plugin.precision in ("bf16-mixed", "16-mixed") or weights.dtype == torch.bfloat16
        finer = f"use trainer.precision={'bf16-mixed' if endless else '32-true'}"
        if not done:
            others = "look at model.initialization, at init_from and at blocks of your own"
            return (
                "nothing was trained and nothing is saved. Neither the optimizer nor the schedule has done anything "
                f"yet: {f'{finer}, or ' if coarse else ''}{others}, and give the command again"
            )
        clip = "set" if self.gradient_clip is None else f"lower (it is {self.gradient_clip:g})"
        advice = ["lower optimizer.learning_rate", "add to schedule.warmup_steps", f"{clip} trainer.gradient_clip"]
        advice += [finer] if coarse else []
        return (
            f"the weights are those of step {done} and are saved. The same settings would come to the same end: "
            f"{', '.join(advice[:-1])} or {advice[-1]}, and give the run another name (name=…) or start anew with "
            "--fresh"
        )

    def _settle(self) -> None:
        """Hands the parts of the model what they counted in the whole step, on all ranks."""
        counts = {part: counted for part in self.step_aware if (counted := part.take_counts()) is not None}
        if counts:
            total = self.trainer.strategy.reduce(torch.cat(list(counts.values())), reduce_op="sum")
            assert isinstance(total, Tensor)
            if self.record.skipped:
                return
            for part, counted in zip(counts, total.split([len(each) for each in counts.values()]), strict=True):
                part.settle(counted)

    @torch.no_grad()
    def evaluate_part(self, part: Part) -> dict[str, Scores]:
        """The scores of one batch, by objective; for evaluation."""
        hidden_BTD = self.model.backbone(**part.batch.inputs)
        return {
            name: self.objectives[name].loss(
                hidden_BTD, self.model.heads[self.objectives[name].config.head], part.batch.labels[name]
            )
            for name in part.names
        }


def seed_dropout(device: torch.device, seed: int, step: int, rank: int, part: int) -> None:
    """Starts torch's generator of the device from a key, so that dropout depends on nothing that ran before."""
    digest = hashlib.blake2b(f"dropout/{seed}/{step}/{rank}/{part}".encode(), digest_size=8).digest()
    key = int.from_bytes(digest, "little") >> 1
    torch.default_generator.manual_seed(key)
    if device.type == "cuda":
        torch.cuda.manual_seed(key)
    elif device.type == "mps":
        torch.mps.manual_seed(key)


@contextlib.contextmanager
def own_stream(device: torch.device) -> Iterator[None]:
    """Whatever is drawn or seeded inside, torch's generators go on afterwards as if it had not been."""
    host = torch.default_generator.get_state()
    cuda = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
    mps = torch.mps.get_rng_state() if device.type == "mps" else None
    try:
        yield
    finally:
        torch.default_generator.set_state(host)
        if cuda is not None:
            torch.cuda.set_rng_state(cuda, device)
        if mps is not None:
            torch.mps.set_rng_state(mps)
