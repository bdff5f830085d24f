"""AdamW whose steps are scaled by the size of what they change (nanoT5: Nawrot 2023, arXiv:2309.02373).

Adafactor's relative steps with Adam's moments: the update of a matrix is multiplied by the root mean square of its
weights. nanoT5 trains T5 v1.1 better with it than with Adafactor (and plain AdamW diverges there), at a rate of 0.02
with cosine decay. Deviation: `eps` is added to the root of the corrected mean square, as the paper of Adam has it;
nanoT5 adds it before the correction. With its 1e-6 the two differ in the first steps only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from zoo.config import setting
from zoo.nn.init import InitializationConfig
from zoo.training.optimizers.base import AdamLikeConfig
from zoo.training.optimizers.groups import STANDARD
from zoo.training.optimizers.rule import RuleOptimizer, decay, root_mean_square, zeros_like


@dataclass(frozen=True, kw_only=True)
class AdamWRmsConfig(AdamLikeConfig, kind="adamw_rms"):
    """AdamW with steps relative to the size of a weight."""

    learning_rate: float = setting(0.02, "peak learning rate, relative to the size of a weight", above=0)
    eps: float = setting(1e-6, "added to the root of the mean square", above=0)
    smallest_size: float = setting(1e-3, "root mean square of a weight below which its steps do not shrink", above=0)

    def build(self, model: nn.Module, initialization: InitializationConfig = STANDARD) -> torch.optim.Optimizer:
        """The rule over the groups."""
        settings = {"beta1": self.beta1, "beta2": self.beta2, "eps": self.eps, "smallest_size": self.smallest_size}
        return AdamWRms(self.groups(model, initialization), **settings)


class AdamWRms(RuleOptimizer):
    """w ← w − rate · (max(RMS w, smallest) · m̂ / (√v̂ + eps) + decay · w)."""

    def update(self, parameter: Tensor, gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        """As the class says; m̂ and v̂ are Adam's moments, corrected for their start at zero."""
        if not state:
            state |= {"step": 0, "mean": zeros_like(parameter), "square": zeros_like(parameter)}
        state["step"] += 1
        state["mean"].lerp_(gradient, 1 - group["beta1"])
        state["square"].mul_(group["beta2"]).addcmul_(gradient, gradient, value=1 - group["beta2"])
        mean_correction = 1 - group["beta1"] ** state["step"]
        square_correction = 1 - group["beta2"] ** state["step"]
        direction = state["mean"] / ((state["square"] / square_correction).sqrt_().add_(group["eps"]))
        size = root_mean_square(parameter).clamp(min=group["smallest_size"])
        decay(parameter, group)
        parameter.sub_(direction.mul_(size * (group["lr"] / mean_correction)))
