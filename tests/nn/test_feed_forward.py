"""The feed-forward equals its formula, and activations equal theirs."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from transformers.activations import ACT2FN
from transformers.models.bloom.modeling_bloom import BloomGelu

from zoo.errors import ConfigError
from zoo.models.create import create_model, model_config
from zoo.nn.block import Absent
from zoo.nn.feed_forward import (
    ACTIVATIONS,
    WIDTH_MULTIPLE,
    ActivatedFeedForwardConfig,
    FeedForward,
    FeedForwardShape,
    GatedFeedForward,
    GatedFeedForwardConfig,
    NoFeedForwardConfig,
    PlainFeedForwardConfig,
    inner_dim_by,
)

DIM, INNER = 4, 6

FORMULAS = {
    "relu": lambda x: x.clamp(min=0),
    "relu_squared": lambda x: torch.where(x > 0, x**2, 0),
    "gelu": lambda x: x * (1 + torch.erf(x / math.sqrt(2))) / 2,
    "gelu_tanh": lambda x: x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2,
    "gelu_bloom": lambda x: x * (1 + torch.tanh(0.79788456 * (x + 0.044715 * x**3))) / 2,
    "silu": lambda x: x / (1 + torch.exp(-x)),
    "tanh": lambda x: (torch.exp(2 * x) - 1) / (torch.exp(2 * x) + 1),
}


ACTIVATED = [PlainFeedForwardConfig, GatedFeedForwardConfig]


def filled(config: ActivatedFeedForwardConfig, dropout: float = 0.0) -> FeedForward:
    module = config.build(FeedForwardShape(DIM, INNER, dropout)).double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_()
    return module


def hidden() -> Tensor:
    return torch.randn(2, 3, DIM, dtype=torch.float64)


def test_every_activation_has_a_formula_here() -> None:
    assert set(FORMULAS) == set(ACTIVATIONS)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name: str) -> None:
    x = torch.linspace(-5, 5, 101, dtype=torch.float64)
    torch.testing.assert_close(ACTIVATIONS[name](x), FORMULAS[name](x))


def test_bloom_gelu_is_that_of_the_oracle() -> None:
    """Forward and backward, and apart from the plain tanh approximation by its constant (√(2/π) cut after 8 digits).

    The oracle's backward writes 3 · 0.79788456 · 0.044715 with ten digits, which is good to 1e-11.
    """
    x = torch.linspace(-6, 6, 1001, dtype=torch.float64, requires_grad=True)
    ours, theirs, other = ACTIVATIONS["gelu_bloom"](x), BloomGelu()(x), ACTIVATIONS["gelu_tanh"](x)
    gradients = [torch.autograd.grad(y.sum(), x)[0] for y in (ours, theirs, other)]
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-15)
    torch.testing.assert_close(gradients[0], gradients[1], rtol=0, atol=1e-11)
    assert (ours - other).abs().max() > 1e-10
    assert (gradients[0] - gradients[2]).abs().max() > 1e-10


@pytest.mark.parametrize("ours, theirs", [("relu_squared", "relu2"), ("silu", "swish"), ("gelu", "gelu")])
def test_activation_of_the_oracle(ours: str, theirs: str) -> None:
    x = torch.linspace(-6, 6, 1001, dtype=torch.float64, requires_grad=True)
    outputs = ACTIVATIONS[ours](x), ACT2FN[theirs](x)
    torch.testing.assert_close(*outputs)
    torch.testing.assert_close(*(torch.autograd.grad(y.sum(), x)[0] for y in outputs))


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
def test_sizes(config: type[ActivatedFeedForwardConfig], matrices: int) -> None:
    assert sum(p.numel() for p in filled(config(bias=False)).parameters()) == matrices * DIM * INNER


@pytest.mark.parametrize("config", ACTIVATED)
def test_positions_do_not_mix(config: type[ActivatedFeedForwardConfig]) -> None:
    module, x = filled(config()), hidden()
    torch.testing.assert_close(module(x)[1, 2], module(x[1, 2]))


@pytest.mark.parametrize("config", ACTIVATED)
def test_dropout_acts_on_the_inner_activations(config: type[ActivatedFeedForwardConfig]) -> None:
    """With all but the output's bias at work: dropping everything inside leaves that bias."""
    module, x = filled(config(), dropout=0.999999), hidden()
    torch.testing.assert_close(module.train()(x), module.output.bias.expand_as(x))
    assert not torch.allclose(module.eval()(x), module.output.bias.expand_as(x))


@pytest.mark.parametrize("config", ACTIVATED)
def test_unknown_activation(config: type[ActivatedFeedForwardConfig]) -> None:
    with pytest.raises(ConfigError, match="activation: unknown activation 'glu'; did you mean 'gelu'"):
        config(activation="glu")


def test_words() -> None:
    assert filled(GatedFeedForwardConfig()).extra_repr() == f"gated silu, {DIM} → {INNER} → {DIM}"
    assert filled(PlainFeedForwardConfig()).extra_repr() == f"plain gelu, {DIM} → {INNER} → {DIM}"


# --------------------------------------------------------------------------------------------------------------- widths


@pytest.mark.parametrize("width", [1, 8, 12, 100, 512, 3072, 11008])
def test_equal_parameters(width: int) -> None:
    """As many weights as the plain one has, but for the rounding of the width: half a multiple on each matrix."""
    dim = 16
    with torch.device("meta"):
        plain, gated, rounded = (
            sum(parameter.numel() for parameter in config.build(FeedForwardShape(dim, width)).parameters())
            for config in (
                PlainFeedForwardConfig(bias=False),
                GatedFeedForwardConfig(bias=False),
                GatedFeedForwardConfig(bias=False, width="equal_parameters"),
            )
        )
    assert gated == 1.5 * plain
    least = 3 * dim * WIDTH_MULTIPLE
    assert abs(rounded - plain) <= least / 2 or rounded == least > plain
    assert rounded % least == 0


def test_inner_dim() -> None:
    assert [inner_dim_by("equal_parameters", width, 3) for width in (1, 12, 17, 19, 4096)] == [8, 8, 8, 16, 2728]
    assert inner_dim_by("as_given", 17, 3) == 17


# ----------------------------------------------------------------------------------------------------------------- none

SIZE: dict[str, Any] = {"dim": 8, "num_layers": 2, "num_heads": 2, "vocab_size": 11, "max_length": 8}


@pytest.mark.parametrize("family", ["encoder", "decoder", "encoder_decoder"])
@pytest.mark.parametrize("placement", ["pre", "post", "sandwich"])
def test_none_leaves_the_sublayer_out(family: str, placement: str) -> None:
    """The model equals one whose feed-forwards add nothing and which is otherwise the same; post-norm has no such."""
    settings = {"kind": family, **SIZE, "placement": placement}
    without = create_model(settings, feed_forward="none").backbone
    assert not any("feed_forward" in name for name, _ in without.named_parameters())
    assert any(isinstance(module, Absent) for module in without.modules())
    if placement == "post":
        return
    silent = create_model(settings).backbone
    with torch.no_grad():
        for name, parameter in silent.named_parameters():
            if "feed_forward" in name:
                parameter.zero_()
    inputs = {"tokens": torch.arange(8)[None]}
    if family == "encoder_decoder":
        inputs["decoder_tokens"] = torch.arange(6)[None]
    torch.testing.assert_close(without(**inputs), silent(**inputs))


def test_none_takes_no_settings() -> None:
    for change in ({"activation": "gelu"}, {"bias": False}):
        with pytest.raises(ConfigError, match="unknown none feed_forward key"):
            model_config({"kind": "encoder", **SIZE}, feed_forward={"kind": "none", **change})
    assert not NoFeedForwardConfig.has_width


@pytest.mark.parametrize("change", [{"feed_forward_dim": 24}, {"dropout": {"feed_forward": 0.1}}])
def test_settings_of_no_feed_forward(change: dict[str, Any]) -> None:
    """They are refused where no layer has one, and right where some layer does."""
    settings = {"kind": "encoder", **SIZE, **change}
    with pytest.raises(
        ConfigError, match=r"(feed_forward_dim|dropout.feed_forward): .* has no effect: feed_forward is"
    ):
        model_config(settings, feed_forward="none")
    model = create_model(settings, layers={"0": {"feed_forward": "none"}})
    without, with_it = model.backbone.stack.blocks
    assert isinstance(without.feed_forward, Absent)
    assert isinstance(with_it.feed_forward.sublayer, FeedForward)
