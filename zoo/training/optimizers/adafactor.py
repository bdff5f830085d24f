"""Adafactor (Shazeer & Stern 2018, arXiv:1804.04235) as T5 was trained with it: no momentum, a schedule from outside.

The mean of squared gradients of a matrix is kept as that of its rows and that of its columns; steps are relative to the
size of a weight, and an update whose root mean square is above 1 is clipped to it. T5 (Raffel et al. 2020,
arXiv:1910.10683, section 3.1.2) takes the rate 1/√max(step, 10⁴), so 0.01 at first. As in its released code, matrices
with a side below 128 are not factored.

torch.optim.Adafactor is another function: it bounds the rate by 1/√step, so a schedule of one's own is cut off, and its
eps₁ bounds the mean over a matrix instead of being added to squared gradients, which at float32's 1.2e-7 replaces the
gradients of any large model.
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
from zoo.training.optimizers.rule import RuleOptimizer, decay, root_mean_square, wide, zeros_like


@dataclass(frozen=True, kw_only=True)
class AdafactorConfig(OptimizerConfig, kind="adafactor"):
    """Factored second moments and steps relative to the size of a weight."""

    learning_rate: float = setting(0.01, "peak learning rate, relative to the size of a weight", above=0)
    decay_exponent: float = setting(
        0.8, "the mean of squared gradients remembers 1 − step^−exponent of itself", above=0, maximum=1
    )
    clip: float | None = setting(1.0, "largest root mean square of an update; null: not clipped", above=0)
    eps: float = setting(1e-30, "added to squared gradients", above=0)
    smallest_size: float | None = setting(
        1e-3,
        "root mean square of a weight below which its steps do not shrink; null: steps do not depend on the weight",
        above=0,
    )
    factored_from: int | None = setting(
        128, "shorter side from which on a matrix is factored; null: none is", minimum=1
    )

    def build(self, model: nn.Module, initialization: InitializationConfig = STANDARD) -> torch.optim.Optimizer:
        """The rule over the groups."""
        names = ("decay_exponent", "clip", "eps", "smallest_size", "factored_from")
        return Adafactor(self.groups(model, initialization), **{name: getattr(self, name) for name in names})


class Adafactor(RuleOptimizer):
    """u = g / √v̂; w ← w − rate · (max(RMS w, smallest) · u / max(1, RMS u / clip) + decay · w)."""

    def update(self, parameter: Tensor, gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        """As the class says; v̂ is the mean of squared gradients, from its rows and columns where it is factored."""
        if not state:
            state |= _start(parameter, group["factored_from"])
        state["step"] += 1
        forget = state["step"] ** -group["decay_exponent"]
        square = gradient.square() + group["eps"]
        if "rows" in state:
            state["rows"].lerp_(square.mean(-1, keepdim=True), forget)
            state["columns"].lerp_(square.mean(-2, keepdim=True), forget)
            rows = state["rows"] / state["rows"].mean(-2, keepdim=True)
            update = gradient * rows.rsqrt_() * state["columns"].rsqrt()
        else:
            state["square"].lerp_(square, forget)
            update = gradient * state["square"].rsqrt()
        if group["clip"] is not None:
            update /= (root_mean_square(update) / group["clip"]).clamp(min=1)
        if group["smallest_size"] is not None:
            update *= root_mean_square(parameter).clamp(min=group["smallest_size"])
        decay(parameter, group)
        parameter.sub_(update, alpha=group["lr"])


def _start(parameter: Tensor, factored_from: int | None) -> dict[str, Any]:
    """What is remembered of a parameter before its first step."""
    if parameter.ndim < 2 or factored_from is None or min(parameter.shape[-2:]) < factored_from:
        return {"step": 0, "square": zeros_like(parameter)}
    rows = parameter.new_zeros((*parameter.shape[:-1], 1), dtype=wide(parameter))
    columns = parameter.new_zeros((*parameter.shape[:-2], 1, parameter.shape[-1]), dtype=wide(parameter))
    return {"step": 0, "rows": rows, "columns": columns}
