"""Lion: the paper's algorithm."""

import pytest
import torch

from tests.training.optimizers.models import projection
from zoo.training.optimizers.lion import LionConfig


@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-14), (torch.float32, 1e-6)])
@pytest.mark.parametrize("steps", [1, 5])
def test_lion_is_the_papers(steps: int, dtype: torch.dtype, tolerance: float) -> None:
    """Chen et al. 2023, algorithm 2, written out with numbers for its letters."""
    rate, decay, beta1, beta2 = 0.03, 0.2, 0.7, 0.95
    layer = projection(3, 5).to(dtype)
    weight, mean = layer.weight.detach().clone(), torch.zeros(5, 3, dtype=dtype)
    optimizer = LionConfig(learning_rate=rate, weight_decay=decay, beta1=beta1, beta2=beta2).build(layer)
    generator = torch.Generator().manual_seed(3)
    for _ in range(steps):
        gradient = torch.randn(5, 3, dtype=dtype, generator=generator)
        layer.weight.grad = gradient.clone()
        optimizer.step()
        weight = weight - rate * ((beta1 * mean + (1 - beta1) * gradient).sign() + decay * weight)
        mean = beta2 * mean + (1 - beta2) * gradient
        assert torch.equal(layer.weight.grad, gradient)
    torch.testing.assert_close(layer.weight.detach(), weight, rtol=0, atol=tolerance)


def test_all_steps_have_one_size() -> None:
    layer = projection(3, 5)
    before = layer.weight.detach().clone()
    layer.weight.grad = torch.randn(5, 3) * 1e-6
    LionConfig(learning_rate=0.25, weight_decay=0.0).build(layer).step()
    torch.testing.assert_close((layer.weight.detach() - before).abs(), torch.full((5, 3), 0.25))
