"""AdamW: the paper's formula, and which weights decay."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tests.training.tiny import KINDS, tiny_run
from zoo.errors import ConfigError
from zoo.models.create import create_model
from zoo.nn.linear import Linear, Site
from zoo.training.optimizer import AdamWConfig, OptimizerConfig, parameter_groups
from zoo.training.run import prepare


def adamw(weight: Tensor, gradients: list[Tensor], config: AdamWConfig) -> Tensor:
    """Loshchilov & Hutter 2017, algorithm 2, with the decay scaled by the learning rate as torch has it."""
    mean, square = torch.zeros_like(weight), torch.zeros_like(weight)
    for number, gradient in enumerate(gradients, start=1):
        mean = config.beta1 * mean + (1 - config.beta1) * gradient
        square = config.beta2 * square + (1 - config.beta2) * gradient**2
        mean_hat, square_hat = mean / (1 - config.beta1**number), square / (1 - config.beta2**number)
        update = mean_hat / (square_hat.sqrt() + config.eps) + config.weight_decay * weight
        weight = weight - config.learning_rate * update
    return weight


def test_adamw_is_the_papers() -> None:
    config = AdamWConfig(learning_rate=0.03, beta1=0.8, beta2=0.95, eps=1e-6, weight_decay=0.2)
    layer = projection(3, 5).double()
    before = layer.weight.detach().clone()
    gradients = [torch.randn(5, 3, dtype=torch.float64) for _ in range(3)]
    optimizer = config.build(layer)
    for gradient in gradients:
        layer.weight.grad = gradient
        optimizer.step()
    assert torch.allclose(layer.weight, adamw(before, gradients, config), rtol=0, atol=1e-14)


def projection(width: int, height: int) -> Linear:
    layer = Linear(width, height, bias=False, site=Site("query"))
    torch.nn.init.normal_(layer.weight)  # zoo's own layers leave their weights unset
    return layer


@pytest.mark.parametrize("name", ["bert-nano", "gpt-nano", "llama-nano", "t5-nano"])
@pytest.mark.parametrize("tied", [True, False])
def test_only_projections_decay(name: str, tied: bool) -> None:
    model = create_model(
        name, dim=16, num_heads=2, num_kv_heads=1, num_layers=1, heads={"language_model": {"tied": tied}}
    )
    decaying, resting = (set(map(id, group["params"])) for group in parameter_groups(model, 0.1))  # type: ignore[call-overload]
    assert not decaying & resting
    assert decaying | resting == {id(p) for p in model.parameters()}
    tables = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    assert tables
    for place, parameter in model.named_parameters():
        assert (id(parameter) in decaying) == (parameter.ndim == 2 and id(parameter) not in tables), place
    assert decaying


def test_tied_output_layer_does_not_decay() -> None:
    model = create_model("gpt-nano")
    _, resting = parameter_groups(model, 0.1)
    assert any(parameter is model.backbone.tokens.weight for parameter in resting["params"])  # type: ignore[attr-defined]
    assert [group["weight_decay"] for group in parameter_groups(model, 0.1)] == [0.1, 0.0]


def test_frozen_weights_are_left_out() -> None:
    model = create_model("gpt-nano")
    model.backbone.tokens.weight.requires_grad = False
    assert sum(len(group["params"]) for group in parameter_groups(model, 0.1)) == len(list(model.parameters())) - 1  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KINDS)
def test_optimizer_of_a_run_is_fused_and_takes_every_setting(kind: str, tmp_path: Path) -> None:
    settings = ("beta1=0.7", "beta2=0.8", "eps=1e-5", "weight_decay=0.3", "learning_rate=0.02")
    config = tiny_run(tmp_path, kind, *(f"optimizer.{setting}" for setting in settings))
    optimizer = prepare(config, progress=False).module.configure_optimizers()
    decaying, resting = optimizer.param_groups
    for group, decay in ((decaying, 0.3), (resting, 0.0)):
        assert (group["lr"], group["betas"], group["eps"]) == (0.02, (0.7, 0.8), 1e-5)
        assert (group["weight_decay"], group["fused"]) == (decay, True)


def test_every_optimizer_builds_and_lowers_a_loss() -> None:
    for kind, choice in OptimizerConfig.choices.items():
        model = projection(4, 4)
        optimizer = choice(learning_rate=0.05).build(model)
        inputs = torch.randn(32, 4)
        losses = []
        for _ in range(30):
            loss = (model(inputs) - inputs).square().mean()
            losses.append(float(loss.detach()))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        assert losses[-1] < losses[0] / 2, kind


def test_memories_of_the_moments_must_fit() -> None:
    with pytest.raises(ConfigError, match=r"beta1: 0.99 must not exceed beta2=0.9"):
        AdamWConfig(beta1=0.99, beta2=0.9)
