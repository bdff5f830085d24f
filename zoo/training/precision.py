"""The number formats of a run: what weights are kept in, what products are computed in, and what stays finer.

| precision  | weights, gradients, optimizer | products | source                                                |
|------------|-------------------------------|----------|-------------------------------------------------------|
| 32-true    | float32                       | float32  |                                                       |
| bf16-mixed | float32                       | bfloat16 | Kalamkar et al. 2019, arXiv:1905.12322                |
| 16-mixed   | float32                       | float16  | Micikevicius et al. 2017, arXiv:1710.03740            |
| bf16-true  | bfloat16                      | bfloat16 | Zamirai et al. 2020, arXiv:2010.06192, plain rounding |
| 64-true    | float64                       | float64  | for tests of exactness                                |

In float32 or finer whatever the precision: sums and statistics inside norms and the softmax, logits and the loss, the
scores of routers, running statistics, the biases that balance experts, the norm of the gradient.

bf16-true halves the memory of weights, gradients and optimizer (AdamW's; zoo's own rules keep their state in float32),
and pays with 8 bits: an update of less than about 2⁻⁹ of a weight is lost, microbatches are added up in bfloat16 too,
and a mean of squared gradients with a decay above 1 − 2⁻⁸ (AdamW's beta2 of 0.999) hardly moves once it is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from zoo.errors import ConfigError

PrecisionName = Literal["32-true", "bf16-mixed", "bf16-true", "16-mixed", "64-true"]


class Format(NamedTuple):
    """The formats of a precision: of weights, gradients and optimizer, and of products of matrices."""

    weights: torch.dtype
    products: torch.dtype


FORMATS: dict[str, Format] = {
    "32-true": Format(torch.float32, torch.float32),
    "bf16-mixed": Format(torch.float32, torch.bfloat16),
    "bf16-true": Format(torch.bfloat16, torch.bfloat16),
    "16-mixed": Format(torch.float32, torch.float16),
    "64-true": Format(torch.float64, torch.float64),
}
"""The formats of each precision."""

SCALED = "16-mixed"
"""The precision that scales the loss and may skip a step."""


def check_precision(precision: str, devices: Sequence[str]) -> None:
    """Raises ConfigError where a run can train in a precision on none of these devices, named as torch names them.

    Every optimizer takes every precision; which kernels do is `kernels.py`'s.
    """
    if precision == "64-true" and all(device == "mps" for device in devices):
        raise ConfigError(
            "'64-true' does not go with trainer.accelerator=mps, which has no float64; use 32-true, or cpu",
            "trainer.precision",
        )


def convert(model: nn.Module, precision: str) -> None:
    """Puts the weights of a model into the format of a precision; running statistics stay float32 at least."""
    weights = FORMATS[precision].weights
    for parameter in model.parameters():
        parameter.data = parameter.data.to(weights)
    for buffer in model.buffers():
        if buffer.is_floating_point():
            buffer.data = buffer.data.to(torch.promote_types(weights, torch.float32))


def gradient_norm(parameters: Sequence[nn.Parameter]) -> Tensor:
    """The global norm of the gradient, a scalar in float32 or finer."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if not any(gradient.dtype in (torch.bfloat16, torch.float16) for gradient in gradients):
        return torch.nn.utils.get_total_norm(gradients)
    norms = [torch.linalg.vector_norm(gradient, dtype=torch.float32) for gradient in gradients]
    return torch.linalg.vector_norm(torch.stack(norms))
