"""Adafactor: the paper's formulas, transformers' implementation, and torch's where it is the same function."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from zoo.nn.linear import Linear, Site
from zoo.training.optimizers.adafactor import AdafactorConfig

STEPS = 5


def layer(dtype: torch.dtype = torch.float64) -> Linear:
    """A matrix (6, 4) and a bias, drawn."""
    made = Linear(4, 6, site=Site("query")).to(dtype)
    generator = torch.Generator().manual_seed(0)
    for parameter in made.parameters():
        nn.init.normal_(parameter, std=0.1, generator=generator)
    return made


def gradients(scale: float = 1.0, dtype: torch.dtype = torch.float64) -> list[list[Tensor]]:
    """Of matrix and bias, step by step."""
    generator = torch.Generator().manual_seed(1)
    return [
        [scale * torch.randn(shape, dtype=dtype, generator=generator) for shape in ((6, 4), (6,))] for _ in range(STEPS)
    ]


def train(made: nn.Module, optimizer: torch.optim.Optimizer, all_gradients: list[list[Tensor]]) -> list[Tensor]:
    for of_step in all_gradients:
        for parameter, gradient in zip(made.parameters(), of_step, strict=True):
            parameter.grad = gradient.clone()
        optimizer.step()
        for parameter, gradient in zip(made.parameters(), of_step, strict=True):
            assert parameter.grad is not None
            assert torch.equal(parameter.grad, gradient)
    return [parameter.detach().clone() for parameter in made.parameters()]


def rms(tensor: Tensor) -> float:
    return float((tensor**2).mean() ** 0.5)


def papers(weight: Tensor, all_gradients: list[Tensor], config: AdafactorConfig, decay: float) -> Tensor:
    """Shazeer & Stern 2018, algorithms 4 and 5 with a rate from outside; vectors and what is not factored: 5."""
    factored = weight.ndim == 2 and config.factored_from is not None and min(weight.shape) >= config.factored_from
    rows = columns = square = torch.zeros(())
    for t, gradient in enumerate(all_gradients, start=1):
        beta = 1 - t**-config.decay_exponent
        squared = gradient**2 + config.eps
        if factored:
            rows = beta * rows + (1 - beta) * squared.sum(1)
            columns = beta * columns + (1 - beta) * squared.sum(0)
            mean = torch.outer(rows, columns) / rows.sum()
        else:
            square = beta * square + (1 - beta) * squared
            mean = square
        update = gradient / mean.sqrt()
        if config.clip is not None:
            update = update / max(1.0, rms(update) / config.clip)
        size = 1.0 if config.smallest_size is None else max(config.smallest_size, rms(weight))
        weight = weight - config.learning_rate * (size * update + decay * weight)
    return weight


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"factored_from": 1},
        {"factored_from": 5},
        {"factored_from": None},
        {"clip": None, "factored_from": 1},
        {"clip": 0.3},
        {"smallest_size": None, "factored_from": 1},
        {"smallest_size": 10.0},
        {"decay_exponent": 0.5, "eps": 1e-2, "factored_from": 1},
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-14), (torch.float32, 2e-6)])
def test_adafactor_is_the_papers(fields: dict[str, Any], dtype: torch.dtype, tolerance: float) -> None:
    config = AdafactorConfig(learning_rate=0.05, weight_decay=0.2, **fields)
    made, given = layer(dtype), gradients(dtype=dtype)
    before = [parameter.detach().double().clone() for parameter in made.parameters()]
    found = train(made, config.build(made), given)
    for index, decay in ((0, 0.2), (1, 0.0)):
        expected = papers(before[index], [of_step[index].double() for of_step in given], config, decay)
        torch.testing.assert_close(found[index].double(), expected, rtol=0, atol=tolerance)


def test_adafactor_is_transformers() -> None:
    from transformers.optimization import Adafactor

    made, other = layer(torch.float32), layer(torch.float32)
    given = gradients(dtype=torch.float32)
    reference = Adafactor(other.parameters(), lr=0.02, scale_parameter=True, relative_step=False, warmup_init=False)
    found = train(made, AdafactorConfig(learning_rate=0.02, factored_from=1).build(made), given)
    torch.testing.assert_close(found, train(other, reference, given), rtol=0, atol=1e-6)


def test_adafactor_is_torchs_below_its_bound_on_the_rate() -> None:
    made, other, given = layer(), layer(), gradients()
    rate = 0.9 * STEPS**-0.5
    reference = torch.optim.Adafactor(other.parameters(), lr=rate, eps=(1e-15, 1e-3))
    found = train(made, AdafactorConfig(learning_rate=rate, factored_from=1).build(made), given)
    torch.testing.assert_close(found, train(other, reference, given), rtol=0, atol=1e-12)


def test_torchs_own_defaults_are_another_function() -> None:
    """Why it is not used: with gradients as small as those of a large model, its eps takes the place of their mean."""
    small = [[1e-5 * gradient for gradient in of_step] for of_step in gradients(dtype=torch.float32)]
    made, other = layer(torch.float32), layer(torch.float32)
    reference = torch.optim.Adafactor(other.parameters(), lr=0.01, d=1e6)
    config = AdafactorConfig(learning_rate=0.01, factored_from=1, clip=None)
    found, theirs = train(made, config.build(made), small), train(other, reference, small)
    start = layer(torch.float32).weight.detach()
    assert rms(theirs[0] - start) > 10 * rms(found[0] - start)


def test_what_is_remembered_is_rows_and_columns() -> None:
    made = layer(torch.float32)
    optimizer = AdafactorConfig(factored_from=1).build(made)
    train(made, optimizer, gradients(dtype=torch.float32))
    shapes = {name: tuple(value.shape) for name, value in optimizer.state[made.weight].items() if name != "step"}
    assert shapes == {"rows": (6, 1), "columns": (1, 4)}
    assert set(optimizer.state[made.bias]) == {"step", "square"}
