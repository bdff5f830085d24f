"""float16 products under a scaled loss, and which of Lightning's plugins serves a precision.

Micikevicius et al. 2017, arXiv:1710.03740, section 3.2: the loss is multiplied before the backward, so that small
gradients do not vanish in float16, and gradients are divided again before they are used. Where one overflows, the step
is skipped: weights, optimizer, running statistics, biases and averages stay as they were, bit for bit, and the scale is
halved (torch's GradScaler). The run goes on with the next step's data and learning rate, which are functions of the
step number. A run whose scale falls below 1 ends: what overflows then is the model's own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from pytorch_lightning.plugins.precision import DoublePrecision, MixedPrecision, Precision
from torch import Tensor, nn

from zoo.training.precision import SCALED

LEAST_SCALE = 1.0
"""Of the loss: below it nothing is scaled up any more, and an overflow is no matter of the scale."""


def precision_plugin(precision: str, device: str) -> Precision:
    """Lightning's half of a precision, for a model that is converted already.

    Its own `bf16-true` changes torch's default dtype while it trains, in which counts and means would be rounded too;
    its `16-mixed` becomes bfloat16 on a CPU.

    Args:
        precision: its name.
        device: type of the device, as torch names it.
    """
    if precision == "bf16-mixed":
        return MixedPrecision("bf16-mixed", device)
    if precision == SCALED:
        return ScaledPrecision(device)
    return DoublePrecision() if precision == "64-true" else Precision()


class ScaledPrecision(MixedPrecision):
    """float16 products, a scaled loss, and steps that are skipped where a gradient overflowed.

    Lightning's leaves it to fused optimizers to divide the gradient by the scale, too late for its norm. Here `begin`
    opens a step; once all its gradients are there, `unscale` divides them and decides; the optimizer's step does
    nothing where the decision was to skip.

    Args:
        device: type of the device, as torch names it.
    """

    scaler: torch.amp.GradScaler

    def __init__(self, device: str) -> None:
        super().__init__("16-mixed", device, torch.amp.GradScaler(device))
        self._skips = False
        self._buffers: list[tuple[Tensor, Tensor]] = []

    @property
    def scale(self) -> float:
        """What the loss is multiplied by."""
        return float(self.scaler.get_scale())

    def begin(self, model: nn.Module) -> None:
        """Remembers what the forwards of a step change in the model."""
        self._buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]

    @torch.no_grad()
    def unscale(self, optimizer: torch.optim.Optimizer) -> bool:
        """Divides the gradients by the scale and moves it; whether one had overflowed, and the step is skipped."""
        before = self.scale
        self.scaler.unscale_(optimizer)
        self.scaler.update()
        self._skips = self.scale < before
        if self._skips:
            for buffer, kept in self._buffers:
                buffer.copy_(kept)
        self._buffers = []
        return self._skips

    def optimizer_step(  # type: ignore[override]  # as Lightning's own
        self, optimizer: Any, model: Any, closure: Callable[[], Any], **options: Any
    ) -> Any:
        """The optimizer's step, or none."""
        closure()
        self._after_closure(model, optimizer)
        return None if self._skips else optimizer.step(**options)
