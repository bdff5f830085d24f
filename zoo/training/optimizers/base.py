"""What every optimizer has: a peak learning rate, a decay, and parts of the model for which the two are others.

All of them take the gradient of the whole step, the same on every rank, and whole parameters, so that ranks which each
hold the model (DDP) stay equal bit for bit. Some look at a matrix as a whole (its size, its singular values):
parameters that are cut up between ranks (FSDP) are not what they are written for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn

from zoo.config import Config, setting
from zoo.errors import ConfigError
from zoo.models import ModelConfig
from zoo.nn.init import InitializationConfig
from zoo.registry import Choice
from zoo.training.optimizers.groups import STANDARD, PartConfig, parameter_groups
from zoo.training.schedule import ScheduleConfig


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig(Config, Choice, noun="optimizer"):
    """How gradients become updates."""

    family: ClassVar[str] = ""
    """Whose rule for the learning rate at another width holds here ("Adam"); "": none that an initialization knows."""

    averages: ClassVar[bool] = False
    """Whether the weights that are evaluated and saved are an average of those in training."""

    learning_rate: float = setting(1e-3, "peak learning rate; the schedule scales it", above=0)
    weight_decay: float = setting(0.0, "decoupled decay of projection matrices, times the learning rate", minimum=0)
    parts: dict[str, PartConfig] = setting(
        {}, "parts of the model that differ, by a name for each: {match: [patterns of names], rate: …, weight_decay: …}"
    )
    layer_decay: float | None = setting(
        None,
        "factor on the learning rate from each layer to the one below it; null: the same for all",
        above=0,
        below=1,
    )

    def check(self, model: ModelConfig, schedule: ScheduleConfig) -> None:
        """Raises ConfigError where the optimizer does not go with how the model starts, or with the schedule."""
        rule = model.initialization.rates_for
        if rule and rule != self.family:
            legal = ", ".join(kind for kind, choice in self.choices.items() if choice.family == rule)
            raise ConfigError(
                f"{self.kind!r} does not go with model.initialization={model.initialization.kind}, whose learning "
                f"rates are right for {rule} only; use one of {legal}, or another initialization",
                "kind",
            )

    def groups(self, model: nn.Module, initialization: InitializationConfig = STANDARD) -> list[dict[str, Any]]:
        """The trained parameters in groups, each with its `lr`, `rate_factor` and `weight_decay`.

        A run sets `lr` to the learning rate of the step times the group's `rate_factor`.

        Raises:
            ConfigError: a pattern of `parts` that matches nothing, or what another matches; layers without an order.
        """
        groups = parameter_groups(model, self.weight_decay, initialization, self.parts, self.layer_decay)
        return [{**group, "lr": self.learning_rate * group["rate_factor"]} for group in groups]

    def build(self, model: nn.Module, initialization: InitializationConfig = STANDARD) -> torch.optim.Optimizer:
        """The optimizer over the trained parameters of a model that was drawn by this initialization."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class AdamLikeConfig(OptimizerConfig):
    """What optimizers have that keep a mean of gradients and one of their squares."""

    beta1: float = setting(0.9, "decay of the mean of gradients", minimum=0, below=1)
    beta2: float = setting(0.999, "decay of the mean of squared gradients", minimum=0, below=1)
    eps: float = setting(1e-8, "added to the root of the mean square", above=0)

    def validate(self) -> None:
        """The first moment must not be remembered longer than the second: such an Adam diverges."""
        if self.beta1 > self.beta2:
            raise ConfigError(f"{self.beta1} must not exceed beta2={self.beta2}", "beta1")
