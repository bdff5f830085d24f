"""Optimizers that torch does not have: one rule, applied to one parameter after the other.

What a rule remembers of a parameter (its `state`) is in float32 or wider, whatever the precision of the parameter: a
mean over a thousand steps does not move in bfloat16, which has eight bits.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


class RuleOptimizer(torch.optim.Optimizer):
    """Applies `update` to each parameter that has a gradient.

    Args:
        groups: of parameters, each with its `lr` and `weight_decay`.
        defaults: what else the rule knows of each group.
    """

    def __init__(self, groups: list[dict[str, Any]], **defaults: Any) -> None:
        super().__init__(groups, defaults)

    def begin(self, group: dict[str, Any]) -> None:
        """What a step does once for a group, before its parameters."""

    def update(self, parameter: Tensor, gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        """One step of one parameter, in place.

        Args:
            parameter: to be changed.
            gradient: of the parameter, in the precision of the state; left as it is.
            state: what is remembered of the parameter; empty in its first step.
            group: the settings.
        """
        raise NotImplementedError

    def averaged(self) -> contextlib.AbstractContextManager[None]:
        """Inside, the parameters are those to look at and to keep; afterwards those to train on, to the bit."""
        return contextlib.nullcontext()

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One step of all parameters that have a gradient; returns what the closure does, if there is one."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        with torch.no_grad():
            for group in self.param_groups:
                self.begin(group)
                for parameter in group["params"]:
                    if parameter.grad is not None:
                        gradient = parameter.grad.to(wide(parameter))
                        self.update(parameter, gradient, self.state[parameter], group)
        return loss

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As torch's, which however rounds what it restores to the precision of the parameter."""
        super().load_state_dict(state_dict)
        numbers = [number for group in state_dict["param_groups"] for number in group["params"]]
        parameters = [parameter for group in self.param_groups for parameter in group["params"]]
        for number, parameter in zip(numbers, parameters, strict=True):
            for key, value in state_dict["state"].get(number, {}).items():
                if isinstance(value, Tensor):
                    self.state[parameter][key] = value.to(parameter.device, copy=True)


def shown_weights(optimizer: torch.optim.Optimizer) -> contextlib.AbstractContextManager[None]:
    """Inside, the model has the weights to evaluate and to save; most optimizers train just those."""
    return optimizer.averaged() if isinstance(optimizer, RuleOptimizer) else contextlib.nullcontext()


def wide(parameter: Tensor) -> torch.dtype:
    """The precision of what is remembered of a parameter."""
    return torch.promote_types(parameter.dtype, torch.float32)


def zeros_like(parameter: Tensor) -> Tensor:
    """Zeros in the shape of a parameter, wide enough to be a mean."""
    return torch.zeros_like(parameter, dtype=wide(parameter))


def root_mean_square(tensor: Tensor) -> Tensor:
    """√(mean of squares) of all numbers of a tensor, a scalar that stays on its device."""
    return tensor.to(wide(tensor)).square().mean().sqrt()


def decay(parameter: Tensor, group: dict[str, Any]) -> None:
    """Decoupled weight decay, in place: w ← w − learning rate · decay · w."""
    if group["weight_decay"]:
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
