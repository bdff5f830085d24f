"""AdamW: the paper's formula, and a run's is torch's fused one."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.training.optimizers.models import projection
from tests.training.tiny import KINDS, newest, tiny_run
from zoo.checkpoint.tensors import load_tree
from zoo.nn.init import BertInitializationConfig, MuPInitializationConfig
from zoo.training.optimizers import AdamWConfig
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


def test_a_factor_scales_the_step_but_not_the_decay() -> None:
    plain, scaled = projection(32, 4), projection(32, 4)
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


@pytest.mark.parametrize("kind", KINDS)
def test_optimizer_of_a_run_is_fused_and_takes_every_setting(kind: str, tmp_path: Path) -> None:
    settings = ("beta1=0.7", "beta2=0.8", "eps=1e-5", "weight_decay=0.3", "learning_rate=0.02")
    config = tiny_run(tmp_path, kind, *(f"optimizer.{setting}" for setting in settings))
    optimizer = prepare(config, progress=False).module.configure_optimizers()
    decaying, resting = optimizer.param_groups
    for group, decay in ((decaying, 0.3), (resting, 0.0)):
        assert (group["lr"], group["betas"], group["eps"]) == (0.02, (0.7, 0.8), 1e-5)
        assert (group["weight_decay"], group["fused"]) == (decay, True)
