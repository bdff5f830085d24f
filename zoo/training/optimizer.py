"""Optimizers, and which weights decay.

Weight decay acts on the matrices of projections only: not on norms, biases or embeddings (and so not on a tied output
layer, which is the token table). A group of parameters carries the factor on its learning rate that the initialization
of the model asks for (muP) as `rate_factor`; its decay, which acts times the learning rate, is divided by it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from zoo.config import Config, setting
from zoo.errors import ConfigError
from zoo.nn.init import BertInitializationConfig, InitializationConfig, learning_rate_factors
from zoo.nn.linear import Linear
from zoo.registry import Choice

STANDARD = BertInitializationConfig()
"""An initialization under which every parameter has the same learning rate."""


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig(Config, Choice, noun="optimizer"):
    """How gradients become updates."""

    learning_rate: float = setting(1e-3, "peak learning rate; the schedule scales it", above=0)

    def build(self, model: nn.Module, initialization: InitializationConfig = STANDARD) -> torch.optim.Optimizer:
        """The optimizer over the trained parameters of a model that was drawn by this initialization."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class AdamWConfig(OptimizerConfig, kind="adamw"):
    """AdamW (Loshchilov & Hutter 2017, arXiv:1711.05101), torch's fused implementation."""

    beta1: float = setting(0.9, "decay of the mean of gradients", minimum=0, below=1)
    beta2: float = setting(0.999, "decay of the mean of squared gradients", minimum=0, below=1)
    eps: float = setting(1e-8, "added to the root of the mean square", above=0)
    weight_decay: float = setting(0.01, "decoupled decay of projection matrices", minimum=0)

    def validate(self) -> None:
        """The first moment must not be remembered longer than the second: such an Adam diverges."""
        if self.beta1 > self.beta2:
            raise ConfigError(f"{self.beta1} must not exceed beta2={self.beta2}", "beta1")

    def build(self, model: nn.Module, initialization: InitializationConfig = STANDARD) -> torch.optim.Optimizer:
        """Groups of what decays and of what does not, for each factor on the learning rate."""
        groups = parameter_groups(model, self.weight_decay, initialization)
        return torch.optim.AdamW(
            [{**group, "lr": self.learning_rate * group["rate_factor"]} for group in groups],
            lr=self.learning_rate,
            betas=(self.beta1, self.beta2),
            eps=self.eps,
            fused=True,
        )


def parameter_groups(
    model: nn.Module, weight_decay: float, initialization: InitializationConfig = STANDARD
) -> list[dict[str, Any]]:
    """The trained parameters in groups, those that decay first; each parameter is in exactly one.

    Args:
        model: whose parameters they are.
        weight_decay: of projection matrices, before it is divided by the factor on their learning rate.
        initialization: says which factor each weight has.

    Returns:
        One group for each factor among those that decay, then for each among the others: `params`, `weight_decay`,
        `rate_factor`.
    """
    decayed = {module.weight for module in model.modules() if isinstance(module, Linear)}
    factors = learning_rate_factors(model, initialization)
    groups: dict[tuple[bool, float], list[nn.Parameter]] = {}
    for parameter in model.parameters():
        if parameter.requires_grad:
            groups.setdefault((parameter in decayed, factors.get(parameter, 1.0)), []).append(parameter)
    return [
        {"params": parameters, "weight_decay": weight_decay / factor if decays else 0.0, "rate_factor": factor}
        for (decays, factor), parameters in sorted(groups.items(), key=lambda item: item[0], reverse=True)
    ]
