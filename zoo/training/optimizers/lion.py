"""Lion (Chen et al. 2023, arXiv:2302.06675, algorithm 2): the sign of a mean of gradients, all steps of one size.

The paper's rate is 3 to 10 times below AdamW's and its decay as many times above, so that their product stays; the
defaults here are AdamW's, both by 10. Its β₁ and β₂ mean other things than Adam's: the first mixes what the step takes,
the second what is remembered. Where a gradient is zero but for rounding, the step is as long as anywhere else, so a run
repeats bit for bit, but is equal over numbers of ranks or microbatches only as far as signs are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from zoo.config import setting
from zoo.nn.init import InitializationConfig
from zoo.training.optimizers.base import OptimizerConfig
from zoo.training.optimizers.groups import STANDARD
from zoo.training.optimizers.rule import RuleOptimizer, decay, zeros_like


@dataclass(frozen=True, kw_only=True)
class LionConfig(OptimizerConfig, kind="lion"):
    """The sign of a mean of gradients."""

    learning_rate: float = setting(1e-4, "peak learning rate; the schedule scales it", above=0)
    weight_decay: float = setting(0.1, "decoupled decay of projection matrices, times the learning rate", minimum=0)
    beta1: float = setting(
        0.9, "share of the mean, beside the gradient, in what a step takes the sign of", minimum=0, below=1
    )
    beta2: float = setting(0.99, "decay of the mean of gradients", minimum=0, below=1)

    def build(self, model: nn.Module, initialization: InitializationConfig = STANDARD) -> torch.optim.Optimizer:
        """Lion over the groups."""
        return Lion(self.groups(model, initialization), beta1=self.beta1, beta2=self.beta2)


class Lion(RuleOptimizer):
    """m̂ = β₁ m + (1 − β₁) g; w ← w − rate · (sign m̂ + decay · w); m ← β₂ m + (1 − β₂) g."""

    def update(self, parameter: Tensor, gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        """As the class says."""
        if not state:
            state["mean"] = zeros_like(parameter)
        decay(parameter, group)
        direction = gradient.lerp(state["mean"], group["beta1"]).sign_()
        parameter.add_(direction, alpha=-group["lr"])
        state["mean"].lerp_(gradient, 1 - group["beta2"])
