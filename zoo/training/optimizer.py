"""Optimizers, and which weights decay.

Weight decay acts on the matrices of projections only: not on norms, biases or embeddings (and so not on a tied output
layer, which is the token table).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from zoo.config import Config, setting
from zoo.errors import ConfigError
from zoo.nn.linear import Linear
from zoo.registry import Choice


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig(Config, Choice, noun="optimizer"):
    """How gradients become updates."""

    learning_rate: float = setting(1e-3, "peak learning rate; the schedule scales it", above=0)

    def build(self, model: nn.Module) -> torch.optim.Optimizer:
        """The optimizer over the trained parameters of the model."""
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

    def build(self, model: nn.Module) -> torch.optim.Optimizer:
        """Two groups: what decays, and what does not."""
        return torch.optim.AdamW(
            parameter_groups(model, self.weight_decay),
            lr=self.learning_rate,
            betas=(self.beta1, self.beta2),
            eps=self.eps,
            fused=True,
        )


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """The trained parameters in two groups, those that decay first; each parameter is in exactly one."""
    decayed = {id(module.weight) for module in model.modules() if isinstance(module, Linear)}
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return [
        {"params": [p for p in parameters if id(p) in decayed], "weight_decay": weight_decay},
        {"params": [p for p in parameters if id(p) not in decayed], "weight_decay": 0.0},
    ]
