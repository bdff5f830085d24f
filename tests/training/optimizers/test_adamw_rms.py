"""AdamW with steps relative to the size of a weight: nanoT5's rule, and torch's AdamW where sizes are 1."""

import math

import pytest
import torch
from torch import Tensor

from tests.training.optimizers.models import projection
from zoo.training.optimizers import AdamWConfig
from zoo.training.optimizers.adamw_rms import AdamWRmsConfig


def nano_t5(weight: Tensor, gradients: list[Tensor], config: AdamWRmsConfig) -> Tensor:
    """Adam's step times max(10⁻³, RMS of the weight), then the decay: in numbers, one after the other."""
    rows, columns = weight.shape
    mean = [[0.0] * columns for _ in range(rows)]
    square = [[0.0] * columns for _ in range(rows)]
    weight = weight.clone()
    for t, gradient in enumerate(gradients, start=1):
        size = max(1e-3, math.sqrt(sum(float(w) ** 2 for w in weight.flatten()) / weight.numel()))
        for i in range(rows):
            for j in range(columns):
                g = float(gradient[i, j])
                mean[i][j] = config.beta1 * mean[i][j] + (1 - config.beta1) * g
                square[i][j] = config.beta2 * square[i][j] + (1 - config.beta2) * g * g
                mean_hat = mean[i][j] / (1 - config.beta1**t)
                square_hat = square[i][j] / (1 - config.beta2**t)
                step = size * mean_hat / (math.sqrt(square_hat) + config.eps) + config.weight_decay * weight[i, j]
                weight[i, j] -= config.learning_rate * step
    return weight


@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-13), (torch.float32, 1e-6)])
@pytest.mark.parametrize("size", [1e-5, 0.3])
@pytest.mark.parametrize("steps", [1, 4])
def test_rule_is_nano_t5s(steps: int, size: float, dtype: torch.dtype, tolerance: float) -> None:
    config = AdamWRmsConfig(learning_rate=0.02, beta1=0.8, beta2=0.95, weight_decay=0.1)
    layer = projection(3, 4).to(dtype)
    layer.weight.data *= size
    before = layer.weight.detach().clone()
    generator = torch.Generator().manual_seed(3)
    gradients = [torch.randn(4, 3, dtype=dtype, generator=generator) for _ in range(steps)]
    optimizer = config.build(layer)
    for gradient in gradients:
        layer.weight.grad = gradient.clone()
        optimizer.step()
        assert torch.equal(layer.weight.grad, gradient)
    expected = nano_t5(before.double(), [gradient.double() for gradient in gradients], config)
    torch.testing.assert_close(layer.weight.detach().double(), expected, rtol=0, atol=tolerance)


def test_a_weight_of_size_one_takes_adamws_step() -> None:
    settings = {"learning_rate": 0.01, "beta1": 0.9, "beta2": 0.99, "eps": 1e-6, "weight_decay": 0.0}
    found = []
    for config in (AdamWRmsConfig(**settings), AdamWConfig(**settings)):
        layer = projection(3, 4).double()
        layer.weight.data.sign_()
        layer.weight.grad = torch.ones(4, 3, dtype=torch.float64)
        config.build(layer).step()
        found.append(layer.weight.detach().clone())
    torch.testing.assert_close(*found, rtol=0, atol=1e-14)
