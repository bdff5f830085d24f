"""The feed-forward equals its formula, and activations equal theirs."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from zoo.errors import ConfigError
from zoo.nn.feed_forward import (
    ACTIVATIONS,
    FeedForward,
    FeedForwardConfig,
    FeedForwardShape,
    GatedFeedForward,
    GatedFeedForwardConfig,
    PlainFeedForwardConfig,
)

DIM, INNER = 4, 6

FORMULAS = {
    "relu": lambda x: x.clamp(min=0),
    "gelu": lambda x: x * (1 + torch.erf(x / math.sqrt(2))) / 2,
    "gelu_tanh": lambda x: x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2,
    "silu": lambda x: x / (1 + torch.exp(-x)),
    "tanh": lambda x: (torch.exp(2 * x) - 1) / (torch.exp(2 * x) + 1),
}


def filled(config: FeedForwardConfig, dropout: float = 0.0) -> FeedForward:
    module = config.build(FeedForwardShape(DIM, INNER, dropout)).double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_()
    assert isinstance(module, FeedForward)
    return module


def hidden() -> Tensor:
    return torch.randn(2, 3, DIM, dtype=torch.float64)


def test_every_activation_has_a_formula_here() -> None:
    assert set(FORMULAS) == set(ACTIVATIONS)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name: str) -> None:
    x = torch.linspace(-5, 5, 101, dtype=torch.float64)
    torch.testing.assert_close(ACTIVATIONS[name](x), FORMULAS[name](x))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_plain(name: str, bias: bool) -> None:
    module, x = filled(PlainFeedForwardConfig(activation=name, bias=bias)), hidden()
    inner = FORMULAS[name](functional.linear(x, module.input.weight, module.input.bias))
    torch.testing.assert_close(module(x), functional.linear(inner, module.output.weight, module.output.bias))
    assert (module.input.bias is not None) == (module.output.bias is not None) == bias


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_gated(name: str, bias: bool) -> None:
    module, x = filled(GatedFeedForwardConfig(activation=name, bias=bias)), hidden()
    assert isinstance(module, GatedFeedForward)
    gate = FORMULAS[name](functional.linear(x, module.gate.weight, module.gate.bias))
    inner = gate * functional.linear(x, module.input.weight, module.input.bias)
    torch.testing.assert_close(module(x), functional.linear(inner, module.output.weight, module.output.bias))


@pytest.mark.parametrize("config, matrices", [(PlainFeedForwardConfig, 2), (GatedFeedForwardConfig, 3)])
def test_sizes(config: type[FeedForwardConfig], matrices: int) -> None:
    assert sum(p.numel() for p in filled(config(bias=False)).parameters()) == matrices * DIM * INNER


@pytest.mark.parametrize("config", FeedForwardConfig.choices.values(), ids=FeedForwardConfig.choices)
def test_positions_do_not_mix(config: type[FeedForwardConfig]) -> None:
    module, x = filled(config()), hidden()
    torch.testing.assert_close(module(x)[1, 2], module(x[1, 2]))


@pytest.mark.parametrize("config", FeedForwardConfig.choices.values(), ids=FeedForwardConfig.choices)
def test_dropout_acts_on_the_inner_activations(config: type[FeedForwardConfig]) -> None:
    """With all but the output's bias at work: dropping everything inside leaves that bias."""
    module, x = filled(config(), dropout=0.999999), hidden()
    torch.testing.assert_close(module.train()(x), module.output.bias.expand_as(x))
    assert not torch.allclose(module.eval()(x), module.output.bias.expand_as(x))


@pytest.mark.parametrize("config", FeedForwardConfig.choices.values(), ids=FeedForwardConfig.choices)
def test_unknown_activation(config: type[FeedForwardConfig]) -> None:
    with pytest.raises(ConfigError, match="activation: unknown activation 'glu'; did you mean 'gelu'"):
        config(activation="glu")
