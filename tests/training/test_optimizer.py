"""AdamW: the paper's formula, and which weights decay."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tests.training.tiny import KINDS, newest, tiny_run
from zoo.checkpoint.tensors import load_tree
from zoo.errors import ConfigError
from zoo.models.create import create_model
from zoo.nn.init import BertInitializationConfig, MuPInitializationConfig
from zoo.nn.linear import Linear, Site
from zoo.training.optimizer import AdamWConfig, OptimizerConfig, parameter_groups
from zoo.training.run import prepare, pretrain


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
    decaying, resting = (set(map(id, group["params"])) for group in parameter_groups(model, 0.1))
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
    assert any(parameter is model.backbone.tokens.weight for parameter in resting["params"])
    assert [group["weight_decay"] for group in parameter_groups(model, 0.1)] == [0.1, 0.0]


MUP = {
    "attention": {"scale": "inverse"},
    "heads": {"language_model": {"tied": False}},
    "initialization": {"kind": "mup", "base_dim": 16},
}


def test_groups_carry_the_factors_of_the_initialization() -> None:
    """muP: base_dim / fan-in for matrices, whose decay is divided by it; 1 for everything else."""
    model = create_model("gpt-nano", dim=32, feed_forward_dim=64, **MUP)
    groups = parameter_groups(model, 0.1, model.config.initialization)
    found = [(group["rate_factor"], group["weight_decay"]) for group in groups]
    assert found == [(0.5, 0.2), (0.25, 0.4), (1.0, 0.0)]
    named = {parameter: name for name, parameter in model.named_parameters()}
    assert len(named) == sum(len(group["params"]) for group in groups)
    wide = {named[parameter] for parameter in groups[1]["params"]}
    assert wide == {name for name in named.values() if name.endswith("feed_forward.sublayer.output.weight")}
    assert {parameter.shape[1] for parameter in groups[0]["params"]} == {32}


def test_a_factor_scales_the_step_but_not_the_decay() -> None:
    plain, scaled = projection(32, 4), projection(32, 4)
    scaled.load_state_dict(plain.state_dict())
    before = plain.weight.detach().clone()
    mup = MuPInitializationConfig(base_dim=16)
    for layer, initialization in ((plain, BertInitializationConfig()), (scaled, mup)):
        optimizer = AdamWConfig(learning_rate=0.1, weight_decay=0.5).build(layer, initialization)
        layer.weight.grad = torch.ones_like(layer.weight)
        optimizer.step()
    decayed = before * (1 - 0.1 * 0.5)
    torch.testing.assert_close(plain.weight.detach(), decayed - 0.1)
    torch.testing.assert_close(scaled.weight.detach(), decayed - 0.05)


def test_a_run_multiplies_the_factor_onto_the_schedule(tmp_path: Path) -> None:
    settings = ("attention.scale=inverse", "heads.language_model.tied=false", "initialization={kind: mup, base_dim: 8}")
    config = tiny_run(tmp_path, "gpt", *(f"model.{setting}" for setting in settings), "trainer.max_steps=3")
    pretrain(config, tmp_path / "run")
    (state,) = load_tree(newest(tmp_path / "run"), "trainer")["optimizer_states"]
    last = config.optimizer.learning_rate * config.schedule.factor(2, 3)
    found = {group["rate_factor"]: group["lr"] for group in state["param_groups"]}
    assert found == pytest.approx({0.5: last / 2, 0.25: last / 4, 1.0: last})


def test_frozen_weights_are_left_out() -> None:
    model = create_model("gpt-nano")
    model.backbone.tokens.weight.requires_grad = False
    assert sum(len(group["params"]) for group in parameter_groups(model, 0.1)) == len(list(model.parameters())) - 1


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
