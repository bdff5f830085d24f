"""Muon (Jordan et al. 2024, kellerjordan.github.io/posts/muon) for hidden matrices, AdamW for everything else.

Muon's update of a matrix is its momentum with all singular values set to about 1 (five Newton–Schulz steps, in
bfloat16). That is meant for matrices between hidden states: tables, biases, norms and the output layers of heads take
AdamW. Both are torch's. The update is scaled to the size of AdamW's by 0.2 · √(longer side) ("match_rms_adamw", Liu et
al. 2025, arXiv:2502.16982), so that AdamW's rate and decay hold for both; the default decay is that paper's. With
"original" (√max(1, rows / columns)) the rate of matrices is about 0.02, and `adamw_rate` says that of the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from zoo.config import setting
from zoo.errors import ConfigError
from zoo.nn.init import InitializationConfig
from zoo.nn.linear import Linear
from zoo.training.optimizers.base import AdamLikeConfig
from zoo.training.optimizers.groups import STANDARD


@dataclass(frozen=True, kw_only=True)
class MuonConfig(AdamLikeConfig, kind="muon"):
    """Muon for hidden matrices, AdamW for the rest (`adamw_rate`, `beta1`, `beta2`, `eps`)."""

    learning_rate: float = setting(1e-3, "peak learning rate of hidden matrices; the schedule scales it", above=0)
    weight_decay: float = setting(0.1, "decoupled decay of projection matrices, times the learning rate", minimum=0)
    momentum: float = setting(0.95, "decay of the mean of gradients of hidden matrices", above=0, below=1)
    newton_schulz_steps: int = setting(5, "steps that bring the singular values near 1", minimum=1, maximum=99)
    scaling: Literal["match_rms_adamw", "original"] = setting(
        "match_rms_adamw", "how the size of an update depends on the shape of its matrix"
    )
    adamw_rate: float | None = setting(None, "peak learning rate of the rest; null: learning_rate", above=0)

    def validate(self) -> None:
        """Refuses a rate for the rest that is said twice."""
        super().validate()
        if self.adamw_rate == self.learning_rate:
            raise ConfigError(f"{self.adamw_rate} is learning_rate; say it once, with null here", "adamw_rate")

    def groups(self, model: nn.Module, initialization: InitializationConfig = STANDARD) -> list[dict[str, Any]]:
        """The groups by `rule` too: "muon" or "adamw"."""
        hidden = {
            module.weight
            for module in model.modules()
            if isinstance(module, Linear) and module.site.role != "head_output"
        }
        ratio = 1.0 if self.adamw_rate is None else self.adamw_rate / self.learning_rate
        groups = []
        for group in super().groups(model, initialization):
            for rule, factor in (("muon", 1.0), ("adamw", ratio)):
                chosen = [parameter for parameter in group["params"] if (parameter in hidden) == (rule == "muon")]
                rates = {"lr": group["lr"] * factor, "rate_factor": group["rate_factor"] * factor}
                if chosen:
                    groups.append({**group, **rates, "params": chosen, "rule": rule})
        return groups

    def build(self, model: nn.Module, initialization: InitializationConfig = STANDARD) -> torch.optim.Optimizer:
        """Both rules as one optimizer."""
        muon = {
            "momentum": self.momentum,
            "ns_steps": self.newton_schulz_steps,
            "adjust_lr_fn": self.scaling,
        }
        adamw = {"betas": (self.beta1, self.beta2), "eps": self.eps, "fused": True}
        return MuonWithAdamW(self.groups(model, initialization), muon, adamw)


class MuonWithAdamW(torch.optim.Optimizer):
    """torch's Muon and AdamW as one optimizer: one state, one list of groups, each updated by the rule it names.

    (Lightning counts a step for each optimizer that it knows of.)

    Args:
        groups: of parameters, each with its `rule`.
        muon, adamw: the settings of each.
    """

    def __init__(self, groups: list[dict[str, Any]], muon: dict[str, Any], adamw: dict[str, Any]) -> None:
        made: dict[str, Callable[[list[dict[str, Any]]], torch.optim.Optimizer]] = {
            "muon": lambda chosen: torch.optim.Muon(chosen, **muon),
            "adamw": lambda chosen: torch.optim.AdamW(chosen, **adamw),
        }
        chosen = {rule: [group for group in groups if group["rule"] == rule] for rule in made}
        # each adds its own settings to its groups, which are the same objects here and there
        self.rules = {rule: made[rule](chosen[rule]) for rule in made if chosen[rule]}
        super().__init__(groups, {})
        self._share()

    def _share(self) -> None:
        for name, rule in self.rules.items():
            rule.state = self.state
            rule.param_groups = [group for group in self.param_groups if group["rule"] == name]

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One step of both; returns what the closure does, if there is one."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for rule in self.rules.values():
            rule.step()
        return loss

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As torch's; both rules go on with what was loaded."""
        super().load_state_dict(state_dict)
        self._share()
