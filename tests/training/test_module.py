"""One optimizer step: exact means however it is split, dropout from a key, and no weight touched by what is broken."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.training.tiny import DROPOUT, KINDS, distance, newest, same, tiny_run, weights
from zoo.batch import IGNORE_INDEX
from zoo.data.plan import Plan
from zoo.errors import TrainingError
from zoo.nn.router import Router
from zoo.nn.step import step_aware, watched
from zoo.training.metrics_file import read_metrics
from zoo.training.module import TrainingModule, own_stream, seed_dropout
from zoo.training.run import Prepared, prepare, pretrain

TOLERANCES = {"64-true": 1e-12, "32-true": 1e-6}

Gradients = dict[str, Tensor]


# ---------------------------------------------------------------------------------------------------------- exact means


@pytest.mark.parametrize("precision", TOLERANCES)
@pytest.mark.parametrize("kind", KINDS)
def test_split_of_a_step_changes_nothing(kind: str, precision: str, gradients_of: Any, tmp_path: Path) -> None:
    """Rows of unequal length, so each microbatch has another number of targets; the mean is over those of the step."""
    found = {}
    for accumulate in (1, 2, 4):
        settings = (f"trainer.accumulate={accumulate}", f"trainer.precision={precision}", "trainer.max_steps=1")
        (found[accumulate],) = gradients_of(tiny_run(tmp_path, kind, *settings))
    assert distance(found[2], found[1]) <= TOLERANCES[precision]
    assert distance(found[4], found[1]) <= TOLERANCES[precision]


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_is_that_of_the_sum_of_weighted_means(kind: str, gradients_of: Any, tmp_path: Path) -> None:
    """Σ weight · sum / count over all rows of the step, computed by hand from full logits."""
    settings = ("trainer.accumulate=4", "trainer.precision=64-true", "trainer.max_steps=2")
    config = tiny_run(tmp_path, kind, *settings)
    prepared = prepare(config)
    plain = plain_gradient(prepared, step=0)
    targets = microbatch_targets(prepared, step=0, number=4)
    assert any(len(set(counts)) > 1 for counts in targets.values()), "the microbatches must differ in targets"
    found = gradients_of(config)
    assert distance(found[0], plain) <= 1e-12
    assert distance(found[1], plain) > 1e-3  # the second step is another batch


def plain_gradient(prepared: Prepared, step: int) -> Gradients:
    config = prepared.config
    model = prepared.module.model.double()
    draw = Plan(prepared.training.num_rows, config.trainer.batch_size, config.seed).step(step)
    sums = {name: torch.zeros((), dtype=torch.float64) for name in config.objectives}
    counts = dict.fromkeys(config.objectives, 0)
    for part in prepared.training.collate(draw.epochs, draw.samples):
        hidden_BTD = model.backbone(**part.batch.inputs)
        for name in part.names:
            logits = model.heads[config.objectives[name].head](hidden_BTD)
            labels = part.batch.labels[name]
            scored = labels != IGNORE_INDEX
            sums[name] = sums[name] + functional.cross_entropy(logits[scored], labels[scored], reduction="sum")
            counts[name] += int(scored.sum())
    total = sum(objective.weight * sums[name] / counts[name] for name, objective in config.objectives.items())
    assert isinstance(total, Tensor)
    total.backward()
    found = model.named_parameters()
    return {name: p.grad if p.grad is not None else torch.zeros_like(p) for name, p in found}


def microbatch_targets(prepared: Prepared, step: int, number: int) -> dict[str, list[int]]:
    config = prepared.config
    plan = Plan(prepared.training.num_rows, config.trainer.batch_size, config.seed)
    targets: dict[str, list[int]] = {name: [] for name in config.objectives}
    for draw in plan.microbatches(step, number):
        for part in prepared.training.collate(draw.epochs, draw.samples):
            for name, labels in part.batch.labels.items():
                targets[name].append(int((labels != IGNORE_INDEX).sum()))
    return targets


# ----------------------------------------------------------------------------------------- parts that have a part in it


def biases(run: Path) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in weights(run).items() if name.endswith("balancing.bias")}


def rows_of(prepared: Prepared, step: int) -> dict[str, Tensor]:
    """The inputs of all rows of a step, of a run with one objective."""
    config = prepared.config
    draw = Plan(prepared.training.num_rows, config.trainer.batch_size, config.seed).step(step)
    (part,) = prepared.training.collate(draw.epochs, draw.samples)
    return part.batch.inputs


def test_split_of_a_step_does_not_change_what_balances_experts(tmp_path: Path) -> None:
    """The biases move by the loads of the whole step, to the same numbers bit for bit."""
    for accumulate in (1, 2, 4):
        settings = (f"trainer.accumulate={accumulate}", "trainer.precision=64-true", "optimizer.eps=1e-4")
        pretrain(tiny_run(tmp_path, "experts", *settings), tmp_path / str(accumulate))
    found = [biases(tmp_path / str(accumulate)) for accumulate in (1, 2, 4)]
    assert len(found[0]) == 2
    assert all(bias.any() for bias in found[0].values())
    assert same(found[0], found[1])
    assert same(found[0], found[2])
    for accumulate in (2, 4):
        assert distance(weights(tmp_path / str(accumulate)), weights(tmp_path / "1")) <= 1e-12


def test_biases_move_by_the_signs_of_the_loads(tmp_path: Path) -> None:
    """By hand, from one forward over all rows of the step."""
    config = tiny_run(tmp_path, "experts", "trainer.precision=64-true", "trainer.max_steps=1", "trainer.accumulate=2")
    pretrain(config, tmp_path / "run")
    prepared = prepare(config)
    model = prepared.module.model.double()
    inputs = rows_of(prepared, step=0)
    chosen: dict[str, Tensor] = {}
    for name, module in model.named_modules():
        if isinstance(module, Router):
            module.register_forward_hook(lambda _, __, routing, name=name: chosen.update({name: routing.experts_NK}))
    model.backbone(**inputs)
    real_N = (inputs["documents"] >= 0).flatten()
    assert not real_N.all()
    found = biases(tmp_path / "run")
    for name, experts_NK in chosen.items():
        loads_E = torch.tensor([(experts_NK[real_N] == expert).sum() for expert in range(4)]).double()
        expected = 0.01 * (loads_E.mean() - loads_E).sign()
        torch.testing.assert_close(found[f"{name}.balancing.bias"], expected)


def test_loss_of_the_model_is_added_to_the_step(gradients_of: Any, tmp_path: Path) -> None:
    """With the gradient by hand, and in the log; the loss of the objectives is logged by itself."""
    balancing = "model.feed_forward.router.balancing={kind: loss, weight: 3.0, z_weight: 0.5}"
    config = tiny_run(tmp_path, "experts", "trainer.precision=64-true", "trainer.max_steps=1", balancing)
    (found,) = gradients_of(config)
    prepared = prepare(config)
    plain_gradient(prepared, step=0)
    model = prepared.module.model
    with watched(step_aware(model)) as added:
        model.backbone(**rows_of(prepared, step=0))
    first, second = added
    (first + second).backward()
    both = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    assert distance(found, both) <= 1e-12
    row = read_metrics(tmp_path / "run" / "metrics.csv")[0]
    assert float(row["train/added_loss"]) == pytest.approx((first + second).item(), rel=1e-6)
    assert row["train/loss"] == row["train/causal_lm/loss"]
    pretrain(tiny_run(tmp_path, "gpt", "trainer.max_steps=1"), tmp_path / "dense")
    assert "train/added_loss" not in read_metrics(tmp_path / "dense" / "metrics.csv")[0]


def test_validation_moves_no_bias(tmp_path: Path) -> None:
    often, never = "trainer.validate_every=1", "data.validation_fraction=0.2"
    for name, setting in (("often", often), ("never", never)):
        pretrain(tiny_run(tmp_path, "experts", setting), tmp_path / name)
    assert same(weights(tmp_path / "often"), weights(tmp_path / "never"))


def test_mean_of_microbatch_means_is_another_function(gradients_of: Any, tmp_path: Path) -> None:
    """What the laws forbid differs by far more than the tolerance, so the tests above can fail."""
    config = tiny_run(tmp_path, "gpt", "trainer.precision=64-true", "trainer.max_steps=1")
    (exact,) = gradients_of(config)
    prepared = prepare(config)
    model = prepared.module.model.double()
    plan = Plan(prepared.training.num_rows, config.trainer.batch_size, config.seed)
    for draw in plan.microbatches(0, 4):
        for part in prepared.training.collate(draw.epochs, draw.samples):
            logits = model.heads["language_model"](model.backbone(**part.batch.inputs))
            mean = functional.cross_entropy(logits.flatten(0, 1), part.batch.labels["causal_lm"].flatten())
            (mean / 4).backward()
    assert distance({name: p.grad for name, p in model.named_parameters() if p.grad is not None}, exact) > 1e-3


@pytest.mark.parametrize("kind", ["bert", "gpt", "t5"])
def test_bf16_stays_near_fp32(kind: str, gradients_of: Any, tmp_path: Path) -> None:
    exact = gradients_of(tiny_run(tmp_path, kind, "trainer.precision=32-true", "trainer.max_steps=3"))
    rough = gradients_of(tiny_run(tmp_path, kind, "trainer.precision=bf16-mixed", "trainer.max_steps=3"))
    split = gradients_of(
        tiny_run(tmp_path, kind, "trainer.precision=bf16-mixed", "trainer.max_steps=3", "trainer.accumulate=4")
    )
    # bfloat16 rounds by 2⁻⁸ = 0.4 %, a few times from the embedding to the loss and back
    assert 1e-6 < distance(rough[0], exact[0]) < 5e-2
    assert distance(split[0], exact[0]) < 5e-2
    assert distance(rough[2], exact[2]) < 2e-1  # the weights have moved apart meanwhile
    assert all(tensor.dtype == torch.float32 for tensor in rough[0].values())


# ------------------------------------------------------------------------------------------ clipping and broken numbers


@pytest.mark.parametrize("kind", ["bert", "t5"])
def test_clips_by_the_global_norm(
    kind: str, gradients_of: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clipped: list[Gradients] = []
    step = torch.optim.AdamW.step

    def watch(optimizer: torch.optim.AdamW, *arguments: Any, **options: Any) -> Any:
        groups = optimizer.param_groups
        clipped.append({str(i): p.grad.clone() for i, p in enumerate(p for g in groups for p in g["params"])})
        return step(optimizer, *arguments, **options)

    monkeypatch.setattr(torch.optim.AdamW, "step", watch)
    limit = 0.01
    (raw,) = gradients_of(tiny_run(tmp_path, kind, f"trainer.gradient_clip={limit}", "trainer.max_steps=1"))
    copies = [nn.Parameter(torch.zeros_like(gradient)) for gradient in raw.values()]
    for copy, gradient in zip(copies, raw.values(), strict=True):
        copy.grad = gradient.clone()
    norm = nn.utils.clip_grad_norm_(copies, limit)
    assert norm > limit
    expected = sorted(float(copy.grad.norm()) for copy in copies if copy.grad is not None)
    assert sorted(float(gradient.norm()) for gradient in clipped[-1].values()) == pytest.approx(expected, rel=1e-6)
    row = (tmp_path / "run" / "metrics.csv").read_text(encoding="utf-8").splitlines()
    assert float(dict(zip(row[0].split(","), row[1].split(","), strict=True))["gradient_norm"]) == pytest.approx(
        float(norm), rel=1e-4
    )


def test_gradient_that_is_not_finite_at_once_leaves_the_folder_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is saved, nothing is said to be, and the corrected command goes on in the folder."""
    part_loss = TrainingModule._part_loss
    monkeypatch.setattr(TrainingModule, "_part_loss", lambda *arguments: part_loss(*arguments) * float("nan"))
    for precision, finer in {"bf16-true": True, "32-true": False}.items():
        config = tiny_run(tmp_path, "gpt", "trainer.max_steps=1", f"trainer.precision={precision}")
        with pytest.raises(TrainingError, match=r"step 1 is not finite.*nothing was trained and nothing is") as caught:
            pretrain(config, tmp_path / "run")
        assert ("trainer.precision=32-true" in str(caught.value)) == finer
        assert "learning_rate" not in str(caught.value)
        assert not list((tmp_path / "run" / "checkpoints").iterdir())
    monkeypatch.setattr(TrainingModule, "_part_loss", part_loss)
    assert pretrain(tiny_run(tmp_path, "gpt", "trainer.max_steps=1"), tmp_path / "run").steps == 1


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_gradient_that_is_not_finite_ends_the_run_before_the_weights_change(
    number: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny_run(tmp_path, "gpt", "trainer.max_steps=6", "trainer.save_every=2", *DROPOUT)
    pretrain(config, tmp_path / "unbroken")
    part_loss = TrainingModule._part_loss
    kept = {}

    def poison(module: TrainingModule, *arguments: Any) -> Tensor:
        loss = part_loss(module, *arguments)
        if module.trainer.global_step == 3:
            kept.update({name: p.detach().clone() for name, p in module.model.named_parameters()}, module=module)
            return loss * number
        return loss

    monkeypatch.setattr(TrainingModule, "_part_loss", poison)
    words = r"step 4 is not finite.*those of step 3 and are saved.*schedule\.warmup_steps or lower \(it is 1\)"
    with pytest.raises(TrainingError, match=words) as caught:
        pretrain(config, tmp_path / "run")
    assert "precision" not in str(caught.value)  # it is 32-true
    module = kept.pop("module")
    assert all(torch.equal(p, kept[name]) for name, p in module.model.named_parameters())
    assert newest(tmp_path / "run").name == "step-3"
    monkeypatch.setattr(TrainingModule, "_part_loss", part_loss)
    pretrain(config, tmp_path / "run")
    assert same(weights(tmp_path / "run"), weights(tmp_path / "unbroken"))


@pytest.mark.parametrize("kind, head", [("bert", "masked_lm"), ("gpt", "causal_lm"), ("t5", "span_corruption")])
def test_step_without_targets_survives(kind: str, head: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing to learn from is no division by zero: the loss is 0 and so is the gradient."""
    from zoo.objectives.mixture import RowGroup

    collate = RowGroup.collate

    def blank(group: RowGroup, epochs: Any, samples: Any) -> Any:
        part = collate(group, epochs, samples)
        for labels in part.batch.labels.values():
            labels.fill_(IGNORE_INDEX)
        return part

    monkeypatch.setattr(RowGroup, "collate", blank)
    config = tiny_run(tmp_path, kind, "trainer.max_steps=2", "optimizer.weight_decay=0", "trainer.accumulate=2")
    result = pretrain(config, tmp_path / "run")
    assert result.metrics["train/loss"] == 0
    assert result.metrics["validation/loss"] == 0
    assert result.metrics["gradient_norm"] == 0
    assert result.metrics[f"train/{head}/targets"] == 0
    before = prepare(config).module.model
    assert same(
        weights(tmp_path / "run"), {k: v for k, v in before.state_dict().items() if k in weights(tmp_path / "run")}
    )


# -------------------------------------------------------------------------------------------------------------- dropout


def test_dropout_is_a_function_of_seed_step_rank_and_part() -> None:
    def mask(*key: int) -> list[float]:
        seed_dropout(torch.device("cpu"), *key)
        return functional.dropout(torch.ones(64), 0.5).tolist()

    keys = [(0, 0, 0, 0), (1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1), (1, 11, 0, 0), (11, 1, 0, 0)]
    masks = [mask(*key) for key in keys]
    assert masks == [mask(*key) for key in keys]
    assert len({tuple(each) for each in masks}) == len(keys)


def test_own_stream_leaves_the_generator_where_it_was() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)

    def disturb() -> None:
        with own_stream(torch.device("cpu")):
            torch.manual_seed(1)
            torch.rand(7)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        disturb()
    assert torch.equal(torch.rand(3), expected)


def test_runs_draw_nothing_from_the_global_streams(tmp_path: Path) -> None:
    """Neither building, training, validating, logging nor saving, in torch, NumPy or Python."""
    import random

    config = tiny_run(tmp_path, "bert", *DROPOUT, "trainer.validate_every=1", "trainer.save_every=2")
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()  # noqa: NPY002
    pretrain(config, tmp_path / "run")
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    assert all(np.array_equal(a, b) for a, b in zip(np.random.get_state(), before[2], strict=True))  # noqa: NPY002


def test_what_the_global_stream_holds_changes_nothing(tmp_path: Path) -> None:
    config = tiny_run(tmp_path, "gpt", *DROPOUT)
    for name, seed in (("one", 1), ("two", 2)):
        torch.manual_seed(seed)
        pretrain(config, tmp_path / name)
    assert same(weights(tmp_path / "one"), weights(tmp_path / "two"))
    pretrain(tiny_run(tmp_path, "gpt", *DROPOUT, "seed=1"), tmp_path / "three")
    assert not same(weights(tmp_path / "one"), weights(tmp_path / "three"))


def test_validating_logging_and_saving_more_often_change_no_weight(tmp_path: Path) -> None:
    busy = (
        "trainer.validate_every=1",
        "trainer.save_every=1",
        "trainer.log_every=1",
        "trainer.validation_batch_size=3",
    )
    config = tiny_run(tmp_path, "bert", *DROPOUT, "trainer.log_every=4")
    pretrain(config, tmp_path / "quiet")
    pretrain(tiny_run(tmp_path, "bert", *DROPOUT, *busy), tmp_path / "busy")
    assert same(weights(tmp_path / "quiet"), weights(tmp_path / "busy"))
