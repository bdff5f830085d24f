"""Norms equal their formulas, forward and backward."""

import pytest
import torch
from torch import Tensor, nn

from zoo.nn.init import BertInitializationConfig, initialize
from zoo.nn.norm import LayerNormConfig, NormConfig, RMSNormConfig

DIM = 6


def filled(norm: nn.Module) -> nn.Module:
    """The norm in float64 with weights that are neither 0 nor 1."""
    norm = norm.double()
    with torch.no_grad():
        for parameter in norm.parameters():
            parameter.normal_()
    return norm


def layer_norm(x: Tensor, norm: nn.Module, eps: float) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    scaled = centred / (centred.square().mean(-1, keepdim=True) + eps).sqrt() * norm.weight
    return scaled if norm.bias is None else scaled + norm.bias


def rms_norm(x: Tensor, norm: nn.Module, eps: float) -> Tensor:
    return x / (x.square().mean(-1, keepdim=True) + eps).sqrt() * norm.weight


@pytest.mark.parametrize("eps", [1e-12, 1e-5, 0.1])
@pytest.mark.parametrize("bias", [True, False])
def test_layer_norm(eps: float, bias: bool) -> None:
    check(LayerNormConfig(eps=eps, bias=bias), layer_norm, eps)


@pytest.mark.parametrize("eps", [1e-6, 0.1])
def test_rms_norm(eps: float) -> None:
    check(RMSNormConfig(eps=eps), rms_norm, eps)


def check(config: NormConfig, formula: object, eps: float) -> None:
    norm = filled(config.build(DIM))
    x = torch.randn(2, 3, DIM, dtype=torch.float64, requires_grad=True)
    expected = formula(x, norm, eps)  # type: ignore[operator]
    torch.testing.assert_close(norm(x), expected, rtol=1e-12, atol=1e-12)
    direction = torch.randn_like(expected)
    wanted = torch.autograd.grad((expected * direction).sum(), [x, *norm.parameters()])
    found = torch.autograd.grad((norm(x) * direction).sum(), [x, *norm.parameters()])
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("config", NormConfig.choices.values(), ids=NormConfig.choices)
def test_every_norm(config: type[NormConfig]) -> None:
    norm = config().build(DIM)
    initialize(norm, BertInitializationConfig(), seed=0)
    x = torch.randn(4, 5, DIM) * 30
    y = norm(x)
    assert y.shape == x.shape
    torch.testing.assert_close(y.square().mean(-1), torch.ones(4, 5), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(norm(x * 7), y, rtol=1e-3, atol=1e-3)  # scale is taken out
    assert norm(torch.zeros(1, DIM)).isfinite().all()
    assert sum(parameter.numel() for parameter in norm.parameters()) in (DIM, 2 * DIM)


def test_rms_norm_is_layer_norm_of_what_has_mean_zero() -> None:
    x = torch.randn(3, DIM)
    x = x - x.mean(-1, keepdim=True)
    rms, layer = RMSNormConfig(eps=1e-5).build(DIM), LayerNormConfig(eps=1e-5, bias=False).build(DIM)
    torch.testing.assert_close(rms(x), layer(x))
