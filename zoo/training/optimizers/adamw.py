"""AdamW (Loshchilov & Hutter 2017, arXiv:1711.05101): torch's, fused into one kernel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from zoo.config import setting
from zoo.nn.init import InitializationConfig
from zoo.training.optimizers.base import AdamLikeConfig
from zoo.training.optimizers.groups import STANDARD


@dataclass(frozen=True, kw_only=True)
class AdamWConfig(AdamLikeConfig, kind="adamw"):
    """AdamW, torch's fused implementation."""

    family: ClassVar[str] = "Adam"

    weight_decay: float = setting(0.01, "decoupled decay of projection matrices, times the learning rate", minimum=0)

    def build(self, model: nn.Module, initialization: InitializationConfig = STANDARD) -> torch.optim.Optimizer:
        """Groups of what decays and of what does not, for each factor on the learning rate."""
        return torch.optim.AdamW(
            self.groups(model, initialization),
            lr=self.learning_rate,
            betas=(self.beta1, self.beta2),
            eps=self.eps,
            fused=True,
        )
