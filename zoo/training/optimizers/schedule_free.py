"""Schedule-free AdamW (Defazio et al. 2024, arXiv:2405.15682): a mean of all weights so far instead of a decay.

Gradients are taken at y, between the fast weights z and their mean x; x is what is evaluated and saved:

    y = (1 − β₁) z + β₁ x        z ← z − rate · (g(y) / (√v̂ + eps) + decay · y)        x ← (1 − c) x + c z

with c the step's rate squared over the sum of all of them. It needs no horizon: any step is a good last one. Its rate
is 1 to 10 times AdamW's; a warm-up is recommended. Deviation, as in the authors' package since 1.3: v̂ is v corrected
for its start at zero, as Adam has it; the paper puts that correction into the rate.

During training the model holds y; x is computed when someone looks. The authors' package goes from y to x and back by
arithmetic, which rounds: a validation would change the run, and a checkpoint of x would not go on as the run does. Here
y is set aside, to the bit, and is a part of the saved state.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from zoo.config import setting
from zoo.errors import ConfigError
from zoo.models import ModelConfig
from zoo.nn.init import InitializationConfig
from zoo.training.optimizers.base import AdamLikeConfig
from zoo.training.optimizers.groups import STANDARD
from zoo.training.optimizers.rule import RuleOptimizer, zeros_like
from zoo.training.schedule import ConstantConfig, ScheduleConfig


@dataclass(frozen=True, kw_only=True)
class ScheduleFreeConfig(AdamLikeConfig, kind="schedule_free"):
    """AdamW on a mean of weights, for a schedule without a decay."""

    family: ClassVar[str] = "Adam"
    averages: ClassVar[bool] = True

    learning_rate: float = setting(2.5e-3, "learning rate after the warm-up", above=0)
    beta1: float = setting(0.9, "share of the mean of weights where gradients are taken", above=0, below=1)

    def check(self, model: ModelConfig, schedule: ScheduleConfig) -> None:
        """Refuses schedules that decay, and norms that remember statistics of weights which are not evaluated."""
        super().check(model, schedule)
        if not isinstance(schedule, ConstantConfig):
            raise ConfigError(
                f"{self.kind!r} takes the place of a decay and does not go with schedule={schedule.kind}; set "
                f"schedule={{kind: constant, warmup_steps: {schedule.warmup_steps}}}, or another optimizer",
                "kind",
            )
        for side in model.sides():
            for layer in (side.stack, *side.stack.layer_configs()):
                if layer.norm.mixes_rows:
                    raise ConfigError(
                        f"{self.kind!r} does not go with model.norm={layer.norm.kind}, whose statistics would be those "
                        "of the weights in training, while their mean is evaluated and saved; use another norm",
                        "kind",
                    )

    def build(self, model: nn.Module, initialization: InitializationConfig = STANDARD) -> torch.optim.Optimizer:
        """The rule over the groups."""
        settings = {"beta1": self.beta1, "beta2": self.beta2, "eps": self.eps}
        return ScheduleFreeAdamW(self.groups(model, initialization), **settings)


class ScheduleFreeAdamW(RuleOptimizer):
    """The parameters are y; the state of each holds z ("fast") and v ("square"), each group the sum of weights."""

    def __init__(self, groups: list[dict[str, Any]], **defaults: Any) -> None:
        super().__init__(groups, steps=0, largest_rate=0.0, total=0.0, share=0.0, **defaults)

    def begin(self, group: dict[str, Any]) -> None:
        """The share of the new z in the mean: by the square of the rate, which counts as if it had never fallen."""
        group["steps"] += 1
        group["largest_rate"] = max(group["largest_rate"], group["lr"])
        weight = group["largest_rate"] ** 2
        group["total"] += weight
        group["share"] = weight / group["total"] if group["total"] else 0.0

    def update(self, parameter: Tensor, gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        """One step of y, z and v."""
        if not state:
            state |= {"fast": zeros_like(parameter).copy_(parameter), "square": zeros_like(parameter)}
        fast, share = state["fast"], group["share"]
        state["square"].mul_(group["beta2"]).addcmul_(gradient, gradient, value=1 - group["beta2"])
        between = parameter.to(fast.dtype)
        correction = 1 - group["beta2"] ** group["steps"]
        direction = gradient / (state["square"] / correction).sqrt_().add_(group["eps"])
        direction.add_(between, alpha=group["weight_decay"])
        # y from the new z and x, without x: it is (y − (1 − β₁) z) / β₁
        step = group["lr"] * (group["beta1"] * (1 - share) - 1)
        parameter.copy_(between.lerp(fast, share).add_(direction, alpha=step))
        fast.sub_(direction, alpha=group["lr"])

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """Inside, the parameters are x, and the state holds y ("trained") too; afterwards they are y."""
        self._show()
        try:
            yield
        finally:
            self._hide()

    @torch.no_grad()
    def _show(self) -> None:
        for group, parameter, state in self._begun():
            state["trained"] = parameter.clone()
            between = parameter.to(state["fast"].dtype)
            parameter.copy_(between.lerp(state["fast"], 1 - 1 / group["beta1"]))

    @torch.no_grad()
    def _hide(self) -> None:
        for _, parameter, state in self._begun():
            if "trained" in state:
                parameter.copy_(state.pop("trained"))

    def _begun(self) -> Iterator[tuple[dict[str, Any], Tensor, dict[str, Any]]]:
        """(group, parameter, state) of each parameter that has had a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter in self.state:
                    yield group, parameter, self.state[parameter]

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on with y, whether the state was saved inside of `averaged` or outside."""
        super().load_state_dict(state_dict)
        self._hide()
