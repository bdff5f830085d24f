"""What tests of optimizers have in common: a model, gradients for it, and what some steps make of it."""

from typing import Any

import torch
from torch import Tensor

from zoo.models import Model
from zoo.models.create import create_model
from zoo.nn.init import InitializationConfig
from zoo.nn.linear import Linear, Site
from zoo.training.optimizers import OptimizerConfig
from zoo.training.optimizers.groups import STANDARD
from zoo.training.optimizers.rule import shown_weights

SIZE = {"dim": 16, "num_layers": 2, "num_heads": 2, "feed_forward_dim": 24, "vocab_size": 19, "max_length": 16}


def model(name: str = "gpt-nano", **settings: Any) -> Model:
    """A tiny model with an output layer of its own, the same each time."""
    heads = {"language_model": {"tied": False}}
    return create_model(name, **{**SIZE, "heads": heads, **settings})


def projection(width: int, height: int, seed: int = 0) -> Linear:
    """A single matrix (height, width), drawn."""
    layer = Linear(width, height, bias=False, site=Site("query"))
    torch.nn.init.normal_(layer.weight, generator=torch.Generator().manual_seed(seed))
    return layer


def set_gradients(module: torch.nn.Module, step: int) -> None:
    """Gives each parameter a gradient that depends on its place and the step alone."""
    for number, parameter in enumerate(module.parameters()):
        generator = torch.Generator().manual_seed(1000 * step + number)
        parameter.grad = torch.randn(parameter.shape, generator=generator).to(parameter.dtype)


def train(module: torch.nn.Module, optimizer: torch.optim.Optimizer, first: int, last: int) -> None:
    """Steps `first` … `last` − 1."""
    for step in range(first, last):
        set_gradients(module, step)
        optimizer.step()


def after_steps(
    config: OptimizerConfig, module: torch.nn.Module, steps: int, initialization: InitializationConfig = STANDARD
) -> dict[str, Tensor]:
    """The weights that a run would save after some steps."""
    optimizer = config.build(module, initialization)
    train(module, optimizer, 0, steps)
    with shown_weights(optimizer):
        return {name: parameter.detach().clone() for name, parameter in module.named_parameters()}
