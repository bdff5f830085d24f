"""Schedule-free AdamW: the paper's three sequences, the authors' package, and which weights anyone gets to see."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.training.optimizers.models import model, projection, train
from tests.training.tiny import DROPOUT, newest, same, tiny_run, weights
from zoo.checkpoint.tensors import load_tree
from zoo.errors import ConfigError
from zoo.training.metrics_file import read_metrics
from zoo.training.optimizers.rule import shown_weights
from zoo.training.optimizers.schedule_free import ScheduleFreeConfig
from zoo.training.run import prepare, pretrain

RUN = ("optimizer={kind: schedule_free, learning_rate: 0.01}", "schedule={kind: constant, warmup_steps: 2}")


def papers(weight: Tensor, gradients: list[Tensor], config: ScheduleFreeConfig, rates: list[float]) -> list[Tensor]:
    """x, y and z of Defazio et al. 2024, algorithm 1, each kept as it is, with the correction of v under the root."""
    x = y = z = weight
    square, total = torch.zeros_like(weight), 0.0
    for t, (gradient, rate) in enumerate(zip(gradients, rates, strict=True), start=1):
        square = config.beta2 * square + (1 - config.beta2) * gradient**2
        root = (square / (1 - config.beta2**t)).sqrt()
        z = z - rate * (gradient / (root + config.eps) + config.weight_decay * y)
        total += rate**2
        x = (1 - rate**2 / total) * x + rate**2 / total * z
        y = config.beta1 * x + (1 - config.beta1) * z
    return [x, y, z]


@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-13), (torch.float32, 2e-6)])
@pytest.mark.parametrize("steps", [1, 2, 6])
def test_rule_is_the_papers(steps: int, dtype: torch.dtype, tolerance: float) -> None:
    config = ScheduleFreeConfig(learning_rate=0.1, beta1=0.8, beta2=0.95, eps=1e-6, weight_decay=0.2)
    layer = projection(3, 5).to(dtype)
    before, optimizer = layer.weight.detach().double().clone(), config.build(layer)
    generator = torch.Generator().manual_seed(3)
    gradients = [torch.randn(5, 3, dtype=dtype, generator=generator) for _ in range(steps)]
    rates = [0.1 * min((t + 1) / 3, 1.0) for t in range(steps)]
    for gradient, rate in zip(gradients, rates, strict=True):
        optimizer.param_groups[0]["lr"] = rate
        layer.weight.grad = gradient.clone()
        optimizer.step()
    x, y, z = papers(before, [gradient.double() for gradient in gradients], config, rates)
    torch.testing.assert_close(layer.weight.detach().double(), y, rtol=0, atol=tolerance)
    torch.testing.assert_close(optimizer.state[layer.weight]["fast"].double(), z, rtol=0, atol=tolerance)
    with shown_weights(optimizer):
        torch.testing.assert_close(layer.weight.detach().double(), x, rtol=0, atol=10 * tolerance)


def test_rule_is_the_packages() -> None:
    import schedulefree

    made, other = model().double(), model().double()
    ours = ScheduleFreeConfig(learning_rate=0.05).build(made)
    theirs = schedulefree.AdamWScheduleFree(other.parameters(), lr=0.05, warmup_steps=4)
    theirs.train()
    for step in range(8):
        for group in ours.param_groups:
            group["lr"] = 0.05 * min((step + 1) / 4, 1.0)
        train(made, ours, step, step + 1)
        train(other, theirs, step, step + 1)
    theirs.eval()
    with shown_weights(ours):
        torch.testing.assert_close(dict(made.named_parameters()), dict(other.named_parameters()), rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_looking_changes_no_bit(dtype: torch.dtype) -> None:
    found = []
    for looks in (0, 3):
        made = model().to(dtype)
        optimizer = ScheduleFreeConfig(learning_rate=0.01).build(made)
        for step in range(4):
            train(made, optimizer, step, step + 1)
            for _ in range(looks):
                with shown_weights(optimizer):
                    pass
        found.append({name: parameter.detach() for name, parameter in made.named_parameters()})
    assert same(*found)


def test_an_error_while_looking_leaves_the_weights() -> None:
    made = model()
    optimizer = ScheduleFreeConfig(learning_rate=0.01).build(made)
    train(made, optimizer, 0, 3)
    before = {name: parameter.detach().clone() for name, parameter in made.named_parameters()}
    with pytest.raises(ZeroDivisionError), shown_weights(optimizer):  # noqa: PT012  (what raises is inside)
        assert not same({name: parameter.detach() for name, parameter in made.named_parameters()}, before)
        raise ZeroDivisionError
    assert same({name: parameter.detach() for name, parameter in made.named_parameters()}, before)


def test_run_saves_and_evaluates_the_mean(tmp_path: Path) -> None:
    """What is in `model/` is x, and the validation loss in the log is that of it."""
    from zoo.training.evaluation import evaluate

    config = tiny_run(tmp_path, "gpt", *RUN, "trainer.max_steps=6", "trainer.precision=64-true")
    result = pretrain(config, tmp_path / "run")
    (state,) = load_tree(newest(result.folder), "trainer")["optimizer_states"]
    prepared = prepare(config, progress=False)
    fresh = prepared.module.model.double()
    fresh.load_state_dict(weights(result.folder), strict=False)
    names = [name for name, _ in fresh.named_parameters()]
    numbers = config.optimizer.groups(fresh)
    order = [parameter for group in numbers for parameter in group["params"]]
    for number, parameter in enumerate(order):
        kept = state["state"][number]
        y, z = kept["trained"], kept["fast"]
        torch.testing.assert_close(parameter.detach(), y + (1 - 1 / 0.9) * (z - y), rtol=0, atol=1e-12)
    assert len(order) == len(names)
    assert any(not torch.equal(p.detach(), state["state"][n]["trained"]) for n, p in enumerate(order))
    assert prepared.validation is not None
    loss = evaluate(prepared.module, prepared.validation, 8).means["loss"]
    assert float(read_metrics(result.folder / "metrics.csv")[-1]["validation/loss"]) == pytest.approx(loss, rel=1e-6)


def test_validating_and_saving_more_often_change_no_weight(tmp_path: Path) -> None:
    busy = ("trainer.validate_every=1", "trainer.save_every=1")
    pretrain(tiny_run(tmp_path, "bert", *RUN, *DROPOUT), tmp_path / "quiet")
    pretrain(tiny_run(tmp_path, "bert", *RUN, *DROPOUT, *busy), tmp_path / "busy")
    assert same(weights(tmp_path / "quiet"), weights(tmp_path / "busy"))


@pytest.mark.parametrize("schedule", ["linear", "cosine", "warmup_stable_decay", "inverse_square_root"])
def test_schedule_that_decays_is_refused(schedule: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=rf"^optimizer\.kind: .*schedule={schedule}; set schedule=.kind: constant"):
        tiny_run(tmp_path, "gpt", RUN[0], f"schedule={{kind: {schedule}, warmup_steps: 1}}")


def test_norm_with_statistics_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^optimizer\.kind: .*model\.norm=batch"):
        tiny_run(tmp_path, "bert", *RUN, "model.norm=batch_norm")
