"""Muon with AdamW: which matrix has which, what its update is, and that two optimizers make one."""

import math

import pytest
import torch
from torch import Tensor

from tests.training.optimizers.models import model, projection, set_gradients, train
from tests.training.tiny import same
from zoo.errors import ConfigError
from zoo.nn.linear import Linear
from zoo.training.optimizers.muon import MuonConfig


def orthogonalized(matrix: Tensor, steps: int) -> Tensor:
    """Jordan 2024: x ← a x + b (x xᵀ) x + c (x xᵀ)² x from x = G / ‖G‖, here through singular values in float64."""
    left, values, right = torch.linalg.svd(matrix.double(), full_matrices=False)
    values = values / values.norm()
    for _ in range(steps):
        values = 3.4445 * values - 4.7750 * values**3 + 2.0315 * values**5
    return left @ values.diag() @ right


@pytest.mark.parametrize("shape", [(6, 6), (12, 5), (5, 12)])
@pytest.mark.parametrize("scaling", ["match_rms_adamw", "original"])
def test_update_of_a_matrix(shape: tuple[int, int], scaling: str) -> None:
    rows, columns = shape
    config = MuonConfig(learning_rate=0.1, weight_decay=0.2, momentum=0.7, scaling=scaling, newton_schulz_steps=4)
    layer = projection(columns, rows)
    optimizer, weight, mean = config.build(layer), layer.weight.detach().double(), torch.zeros(shape).double()
    factor = 0.2 * math.sqrt(max(shape)) if scaling == "match_rms_adamw" else math.sqrt(max(1, rows / columns))
    generator = torch.Generator().manual_seed(3)
    for _ in range(3):
        gradient = torch.randn(shape, generator=generator)
        layer.weight.grad = gradient.clone()
        optimizer.step()
        mean = 0.7 * mean + 0.3 * gradient.double()
        update = orthogonalized(0.7 * mean + 0.3 * gradient.double(), 4)
        weight = weight - 0.1 * (factor * update + 0.2 * weight)
    # torch's iteration runs in bfloat16, which rounds by 2⁻⁸
    torch.testing.assert_close(layer.weight.detach().double(), weight, rtol=0, atol=0.1 * factor * 0.06)


def test_hidden_matrices_only() -> None:
    made = model("bert-nano", heads={"language_model": {"tied": False}})
    optimizer = MuonConfig().build(made)
    rule = {parameter: group["rule"] for group in optimizer.param_groups for parameter in group["params"]}
    outputs = [made.heads.language_model.output, made.heads.next_sentence.classifier]
    hidden = {module.weight for module in made.modules() if isinstance(module, Linear) and module not in outputs}
    assert {parameter for parameter, name in rule.items() if name == "muon"} == hidden
    assert len(rule) == len(list(made.parameters()))


def test_one_optimizer_is_two() -> None:
    """torch's Muon and AdamW side by side, on the same groups, come to the same bits."""
    made, other = model(), model()
    config = MuonConfig(learning_rate=0.02, adamw_rate=0.005, weight_decay=0.1)
    optimizer, groups = config.build(made), config.groups(other)
    assert {(group["rule"], group["lr"]) for group in groups} == {("muon", 0.02), ("adamw", 0.005)}
    separate = [
        torch.optim.Muon(
            [{"params": g["params"], "weight_decay": g["weight_decay"]} for g in groups if g["rule"] == "muon"],
            lr=0.02,
            adjust_lr_fn="match_rms_adamw",
        ),
        torch.optim.AdamW(
            [{"params": g["params"], "weight_decay": g["weight_decay"]} for g in groups if g["rule"] == "adamw"],
            lr=0.005,
        ),
    ]
    for step in range(3):
        train(made, optimizer, step, step + 1)
        set_gradients(other, step)
        for each in separate:
            each.step()
    for (name, ours), theirs in zip(made.named_parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-7, msg=name)


def test_rates_that_a_run_sets_reach_both() -> None:
    made = model()
    optimizer = MuonConfig(learning_rate=0.02).build(made)
    train(made, optimizer, 0, 1)
    optimizer.load_state_dict(optimizer.state_dict())
    before = {name: parameter.detach().clone() for name, parameter in made.named_parameters()}
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    train(made, optimizer, 1, 2)
    assert same(before, {name: parameter.detach() for name, parameter in made.named_parameters()})


def test_model_of_hidden_matrices_alone_needs_no_adamw() -> None:
    layer = projection(4, 4)
    optimizer = MuonConfig().build(layer)
    train(layer, optimizer, 0, 2)
    assert list(optimizer.state[layer.weight]) == ["momentum_buffer"]


def test_a_rate_is_said_once() -> None:
    with pytest.raises(ConfigError, match=r"adamw_rate: 0\.01 is learning_rate; say it once"):
        MuonConfig(learning_rate=0.01, adamw_rate=0.01)
