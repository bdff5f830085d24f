"""A moving average of the weights, kept beside the weights that are trained.

    average ← decay · average + (1 − decay) · weights

Polyak & Juditsky 1992 averaged all iterates; with exponential weights: Tarvainen & Valpola 2017, arXiv:1703.01780; in
pretraining: Sanyal et al. 2023, arXiv:2306.03241. The average begins as a copy of the weights at its first update, so
that nothing of the initial weights is in it that `start` leaves out. Running statistics are averaged as weights are.
The trained weights, and so the run, are the same with and without it; a skipped step (precision 16-mixed) is no update.

It costs a copy of the weights in float32 (float64 in a run of that), in memory and in each checkpoint; each validation
runs twice; an update reads and writes the copy once.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from zoo.checkpoint.model import PARTS, WEIGHTS_NAME, weights_of
from zoo.checkpoint.tensors import load_tensors
from zoo.config import Config, setting
from zoo.errors import ConfigError
from zoo.training.optimizers import OptimizerConfig


@dataclass(frozen=True, kw_only=True)
class EMAConfig(Config):
    """An exponential moving average of the weights: validated, saved and opened beside them (`weights="ema"`)."""

    decay: float = setting(0.999, "share of the old average that an update keeps", above=0, below=1)
    start: int = setting(0, "steps before the average begins", minimum=0)
    every: int = setting(1, "steps from one update to the next", minimum=1)

    def check(self, max_steps: int | None, optimizer: OptimizerConfig) -> None:
        """Raises ConfigError where a run of so many steps (None: not known) has no update, or averages already."""
        if optimizer.averages:
            raise ConfigError(
                f"does not go with optimizer={optimizer.kind}, whose weights to evaluate and to keep are an average "
                "already; use null, or another optimizer"
            )
        if max_steps is not None and self.start + self.every > max_steps:
            raise ConfigError(
                f"{self.start} has no effect: with every={self.every} the average would begin at step "
                f"{self.start + self.every}, after max_steps={max_steps}; lower start or every, or use ema=null",
                "start",
            )


class WeightAverage:
    """The average of a model's weights.

    Args:
        config: decay, start, every.
        model: whose weights.
    """

    def __init__(self, config: EMAConfig, model: nn.Module) -> None:
        self.config = config
        self._weights = weights_of(model)
        self._averages: list[Tensor] = []
        self._move = get_ema_multi_avg_fn(config.decay)

    @property
    def begun(self) -> bool:
        """Whether there is an average yet."""
        return bool(self._averages)

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Moves the average after a step (from 1), if one is due then."""
        since = step - self.config.start
        if since <= 0 or since % self.config.every:
            return
        weights = [shared.tensor.detach() for shared in self._weights]
        if not self.begun:
            self._averages = [weight.to(_format(weight), copy=True) for weight in weights]
            return
        self._averages = self._here()
        pairs = zip(self._averages, weights, strict=True)
        moved = [(average, weight.to(average.dtype)) for average, weight in pairs if average.is_floating_point()]
        self._move([average for average, _ in moved], [weight for _, weight in moved], 0)

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Inside, the model has the average for its weights, in the average's own format; nothing is copied."""
        assert self.begun
        kept = [shared.tensor.data for shared in self._weights]
        self._averages = self._here()
        self._put(self._averages)
        try:
            yield
        finally:
            self._put(kept)

    def load(self, folder: Path) -> None:
        """Takes the average from a model folder that was saved inside `applied`, and that is verified."""
        tensors = load_tensors(folder / WEIGHTS_NAME)
        self._averages = [tensors[shared.names[0]] for shared in self._weights]

    def _put(self, tensors: list[Tensor]) -> None:
        for shared, tensor in zip(self._weights, tensors, strict=True):
            shared.tensor.data = tensor

    def _here(self) -> list[Tensor]:
        """The averages on the device of the weights; after loading they lie elsewhere."""
        pairs = zip(self._averages, self._weights, strict=True)
        return [average.to(shared.tensor.device) for average, shared in pairs]


def average_at(step: Path, config: EMAConfig | None, model: nn.Module) -> WeightAverage | None:
    """The average that a run with this config goes on from at a training step; None: it keeps none."""
    if config is None:
        return None
    average = WeightAverage(config, model)
    if (step / PARTS["ema"]).is_dir():
        average.load(step / PARTS["ema"])
    return average


def _format(weight: Tensor) -> torch.dtype:
    """float32 at least: in bfloat16 an average with a decay of 0.999 does not move."""
    return torch.promote_types(weight.dtype, torch.float32) if weight.is_floating_point() else weight.dtype
