"""Each sum equals its formula and starts where its paper says; DeepNorm's alpha is the paper's."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from zoo.config import build
from zoo.errors import ConfigError
from zoo.models.create import create_model, model_config
from zoo.nn.init import BertInitializationConfig, initialize
from zoo.nn.linear import Depth
from zoo.nn.residual_sum import PlainSum, ResidualConfig, deepnorm_alpha

DIM = 4
DEPTH = Depth(3)
Formula = Callable[[Tensor, Tensor, Any], Tensor]
FORMULAS: list[tuple[dict[str, Any], Formula]] = [
    ({"kind": "plain"}, lambda hidden, branch, module: hidden + branch),
    ({"kind": "deepnorm"}, lambda hidden, branch, module: 6**0.25 * hidden + branch),
    ({"kind": "deepnorm", "alpha": 3.0}, lambda hidden, branch, module: 3 * hidden + branch),
    ({"kind": "scaled_branch"}, lambda hidden, branch, module: hidden + branch / 6**0.5),
    ({"kind": "scaled_branch", "scale": 0.2}, lambda hidden, branch, module: hidden + 0.2 * branch),
    ({"kind": "layer_scale"}, lambda hidden, branch, module: hidden + module.weight * branch),
    ({"kind": "rezero"}, lambda hidden, branch, module: hidden + module.weight * branch),
    ({"kind": "none"}, lambda hidden, branch, module: branch),
]


def module_of(settings: dict[str, Any]) -> nn.Module:
    module: nn.Module = build(ResidualConfig, settings).build(DIM, DEPTH).double()
    initialize(module, BertInitializationConfig(), seed=0)
    return module


def test_every_kind_has_a_formula_here() -> None:
    assert {settings["kind"] for settings, _ in FORMULAS} == set(ResidualConfig.choices)


@pytest.mark.parametrize("settings, formula", FORMULAS, ids=lambda case: str(case) if isinstance(case, dict) else "")
def test_formula(settings: dict[str, Any], formula: Formula) -> None:
    hidden, branch = torch.randn(2, 2, 3, DIM, dtype=torch.float64)
    module = module_of(settings)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_()
    torch.testing.assert_close(module(hidden, branch), formula(hidden, branch, module))


def test_starts() -> None:
    assert module_of({"kind": "rezero"}).weight.tolist() == [0.0]
    assert module_of({"kind": "layer_scale", "start": 1e-5}).weight.tolist() == [1e-5] * DIM


@pytest.mark.parametrize(
    "depth, alpha",
    [  # the formulas of figure 2, worked out by hand
        (Depth(8, 0), 2.0),
        (Depth(0, 8, True), 2.0),
        (Depth(1, 1), 0.81),
        (Depth(16, 1), 0.81 * 2),
        (Depth(1, 65536), 0.81 * 2),
        (Depth(7, 27, True), 3.0),
        (Depth(), 1.0),
    ],
)
def test_deepnorm_alpha(depth: Depth, alpha: float) -> None:
    assert deepnorm_alpha(depth) == pytest.approx(alpha)


@pytest.mark.parametrize("family", ["encoder", "decoder", "encoder_decoder"])
def test_depth_of_each_side_reaches_the_sums(family: str) -> None:
    settings = {"kind": family, "dim": 8, "num_layers": 3, "num_heads": 2, "vocab_size": 11, "residual": "deepnorm"}
    settings["placement"] = "post"
    if family == "encoder_decoder":
        settings["decoder"] = {"num_layers": 2}
    backbone = create_model(settings).backbone
    found = {name.split(".")[0]: module.skip for name, module in backbone.named_modules() if hasattr(module, "skip")}
    expected = {
        "encoder": {"stack": 6**0.25},
        "decoder": {"stack": 6**0.25},
        "encoder_decoder": {"encoder": 0.81 * (81 * 2) ** (1 / 16), "decoder": 6**0.25},
    }
    assert found == pytest.approx(expected[family])


@pytest.mark.parametrize(
    "settings, message",
    [
        ({}, "as with placement=pre; set placement=post"),
        ({"placement": "post", "attention_placement": "none"}, "as with attention_placement=none; set"),
        ({"attention_placement": "none"}, "as with placement=pre and attention_placement=none; set"),
        ({"placement": "post", "norm": "none"}, "as with norm=none; set"),
    ],
)
def test_deepnorm_needs_a_norm_after_the_sum(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=f"^residual: 'deepnorm' makes the stream grow .*{message}"):
        model_config({"kind": "decoder", "residual": "deepnorm", **settings})


def test_rezero_starts_as_the_identity() -> None:
    settings = {"kind": "decoder", "dim": 8, "num_heads": 2, "vocab_size": 11, "placement": "none"}
    model = create_model(settings, residual="rezero", positions="rotary")
    tokens = torch.arange(5)[None]
    assert torch.equal(model.backbone(tokens=tokens), model.backbone.tokens.weight[tokens])


def test_the_plain_sum_has_nothing_to_train() -> None:
    assert not [*PlainSum().parameters()]


# --------------------------------------------------------------------------------------------------- where zeros learn

NEEDS: dict[str, dict[str, Any]] = {"deepnorm": {"placement": "post"}}
STUCK = {"rezero", "none"}
"""Kinds that have nothing to learn from where branches start at zero."""


@pytest.mark.parametrize("zero_output", [False, True])
@pytest.mark.parametrize("kind", ResidualConfig.choices)
def test_everything_learns_within_two_steps(kind: str, zero_output: bool) -> None:
    """Of two factors one may start at zero, which the first step moves."""
    settings = {"kind": "decoder", "dim": 8, "num_layers": 2, "num_heads": 2, "vocab_size": 11, "residual": kind}
    settings |= {"attention": {"key_bias": False}, "positions": "rotary", "heads": {"main": "language_model"}}
    settings |= {"initialization": {"kind": "gpt2", "std": 0.3, "zero_output": zero_output}, **NEEDS.get(kind, {})}
    if zero_output and kind in STUCK:
        with pytest.raises(
            ConfigError, match=f"^initialization.zero_output: true .* residual={kind} .*; set it to false"
        ):
            model_config(settings)
        return
    model = create_model(settings).double()
    moved: set[str] = set()
    tokens = torch.arange(22).reshape(2, 11) % 11
    for _ in range(2):
        model.zero_grad()
        (model(tokens=tokens)["main"].log_softmax(-1)[..., 3].sum()).backward()
        for name, parameter in model.named_parameters():
            if parameter.grad is not None and parameter.grad.abs().max() > 1e-12:
                moved.add(name)
        with torch.no_grad():
            for parameter in model.parameters():
                assert parameter.grad is not None
                parameter -= 0.01 * parameter.grad
    assert {name for name, _ in model.named_parameters()} == moved


def test_a_layer_scale_of_zero_needs_branches_that_are_not() -> None:
    settings = {"kind": "encoder", "initialization": {"kind": "bert", "zero_output": True}}
    scale = {"kind": "layer_scale", "start": 0.0}
    for where in ({"residual": scale}, {"layers": {"1": {"residual": scale}}}):
        with pytest.raises(
            ConfigError, match=r"zero_output: true .* residual=layer_scale .*: start=0.0 is zero as well"
        ):
            model_config({**settings, **where})
    model_config({**settings, "residual": {**scale, "start": 1e-6}})
    model_config({**settings, "residual": scale, "initialization": {"zero_output": False}})
