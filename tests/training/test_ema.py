"""The moving average of the weights: by hand, beside a run that it does not change, saved, continued and opened."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import zoo
from tests.training.tiny import DROPOUT, counters, newest, rows_without_clocks, same, tiny_run, weights
from zoo.checkpoint.tensors import load_tensors
from zoo.errors import CheckpointError, ConfigError
from zoo.training.branch import branch
from zoo.training.ema import EMAConfig, WeightAverage
from zoo.training.extend import config_of
from zoo.training.held_out import evaluate
from zoo.training.metrics_file import read_metrics
from zoo.training.module import TrainingModule
from zoo.training.run import prepare, pretrain

EVERY_STEP = ("trainer.max_steps=6", "trainer.save_every=1", "trainer.keep=9")


def stored(run: Path, step: int, part: str = "model") -> dict[str, Tensor]:
    return load_tensors(run / "checkpoints" / f"step-{step}" / part / "model.safetensors")


@pytest.mark.parametrize("kind, settings", [("bert", []), ("experts", []), ("gpt", ["model.norm=batch_norm"])], ids=str)
def test_average_by_hand(kind: str, settings: list[str], tmp_path: Path) -> None:
    """Begun as the weights of step 3, then moved after step 5; running statistics and biases too."""
    ema = "trainer.ema={decay: 0.75, start: 1, every: 2}"
    pretrain(tiny_run(tmp_path, kind, *EVERY_STEP, *settings, ema), tmp_path / "run")
    run = tmp_path / "run"
    parts = [(run / "checkpoints" / f"step-{step}" / "model-ema").is_dir() for step in range(1, 7)]
    assert parts == [False, False, True, True, True, True]
    assert same(stored(run, 3, "model-ema"), stored(run, 3))
    assert same(stored(run, 4, "model-ema"), stored(run, 3))
    found, three, five = stored(run, 6, "model-ema"), stored(run, 3), stored(run, 5)
    assert not same(three, five)
    for name, average in found.items():
        torch.testing.assert_close(average, 0.75 * three[name] + 0.25 * five[name], rtol=1e-6, atol=1e-7)


def test_run_is_the_same_without_it(tmp_path: Path) -> None:
    settings = (*DROPOUT, "trainer.validate_every=1", "trainer.save_every=2")
    for name, ema in (("with", "{decay: 0.5}"), ("without", "null")):
        pretrain(tiny_run(tmp_path, "t5", *settings, f"trainer.ema={ema}"), tmp_path / name)
    assert same(weights(tmp_path / "with"), weights(tmp_path / "without"))
    rows = [read_metrics(tmp_path / name / "metrics.csv") for name in ("with", "without")]
    assert [row["validation/loss"] for row in rows[0]] == [row["validation/loss"] for row in rows[1]]


def test_both_losses_are_logged_and_are_those_of_the_saved_weights(tmp_path: Path) -> None:
    settings = ("trainer.ema={decay: 0.9, start: 2}", "trainer.validate_every=2", "optimizer.learning_rate=0.02")
    result = pretrain(tiny_run(tmp_path, "bert", *EVERY_STEP, *settings), tmp_path / "run")
    rows = {row["step"]: row for row in read_metrics(tmp_path / "run" / "metrics.csv")}
    assert rows["2"]["validation_ema/loss"] == ""
    assert rows["2"]["validation/loss"] != ""
    raw, average = (evaluate(tmp_path / "run", weights=name).loss for name in ("raw", "ema"))
    assert result.metrics["validation/loss"] == pytest.approx(raw, rel=1e-6)
    assert result.metrics["validation_ema/loss"] == pytest.approx(average, rel=1e-6)
    assert abs(raw - average) > 1e-3
    assert "validation_ema/masked_lm/accuracy" in rows["6"]


@pytest.mark.parametrize("step", [3, 4, 6])
@pytest.mark.parametrize("precision", ["32-true", "bf16-true"])
def test_broken_off_and_continued(step: int, precision: str, break_at: Any, tmp_path: Path) -> None:
    """Before the average begins, between two updates, and after: to the same average, bit for bit."""
    settings = ("trainer.ema={decay: 0.5, start: 1, every: 2}", "trainer.save_every=2", "trainer.max_steps=7")
    config = tiny_run(
        tmp_path, "gpt", *DROPOUT, *settings, f"trainer.precision={precision}", "trainer.validate_every=3"
    )
    pretrain(config, tmp_path / "unbroken")
    break_at(config, tmp_path / "run", step)
    pretrain(config, tmp_path / "run")
    assert same(stored(tmp_path / "run", 7, "model-ema"), stored(tmp_path / "unbroken", 7, "model-ema"))
    assert same(weights(tmp_path / "run"), weights(tmp_path / "unbroken"))
    assert counters(tmp_path / "run") == counters(tmp_path / "unbroken")
    assert rows_without_clocks(tmp_path / "run") == rows_without_clocks(tmp_path / "unbroken")


def test_average_is_finer_than_weights_in_bfloat16(tmp_path: Path) -> None:
    """An update of a thousandth is less than bfloat16 can show."""
    settings = ("trainer.precision=bf16-true", "trainer.ema={decay: 0.999}", "optimizer.learning_rate=0.01")
    pretrain(tiny_run(tmp_path, "gpt", *EVERY_STEP, *settings), tmp_path / "run")
    found, first = stored(tmp_path / "run", 6, "model-ema"), stored(tmp_path / "run", 1)
    assert {tensor.dtype for tensor in found.values()} == {torch.float32}
    assert {tensor.dtype for tensor in first.values()} == {torch.bfloat16}
    moved = [name for name, tensor in found.items() if not torch.equal(tensor, first[name].float())]
    assert len(moved) > len(found) / 2


def test_a_branch_takes_the_average_along(tmp_path: Path) -> None:
    """Or leaves it behind, or begins one of its own."""
    config = tiny_run(tmp_path, "gpt", *EVERY_STEP, "trainer.ema={decay: 0.5}")
    pretrain(config, tmp_path / "run")
    same_settings = branch(tmp_path / "run", 3, "along")
    assert same(stored(same_settings, 3, "model-ema"), stored(tmp_path / "run", 3, "model-ema"))
    pretrain(config_of(same_settings), same_settings)
    assert same(stored(same_settings, 6, "model-ema"), stored(tmp_path / "run", 6, "model-ema"))
    without = branch(tmp_path / "run", 3, "without", ["trainer.ema=null"])
    assert not (without / "checkpoints" / "step-3" / "model-ema").exists()


def test_skipped_step_is_no_update(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part_loss = TrainingModule._part_loss

    def poison(module: TrainingModule, *arguments: Any) -> Tensor:
        return part_loss(module, *arguments) * (torch.inf if module.trainer.global_step == 3 else 1)

    monkeypatch.setattr(TrainingModule, "_part_loss", poison)
    settings = ("trainer.precision=16-mixed", "trainer.ema={decay: 0.5}")
    pretrain(tiny_run(tmp_path, "gpt", *EVERY_STEP, *settings), tmp_path / "run")
    steps = [stored(tmp_path / "run", step, "model-ema") for step in (3, 4, 5)]
    assert same(steps[0], steps[1])
    assert not same(steps[1], steps[2])


# -------------------------------------------------------------------------------------------------------------- opening


def test_load_picks(tmp_path: Path) -> None:
    """The trained weights unless told otherwise."""
    settings = ("trainer.ema={decay: 0.5}", "trainer.max_steps=3", "optimizer.learning_rate=0.02")
    pretrain(tiny_run(tmp_path, "gpt", *settings), tmp_path / "run")
    step = newest(tmp_path / "run")
    for folder in (tmp_path / "run", step):
        for name, part in (("raw", "model"), ("ema", "model-ema")):
            found = dict(zoo.load(folder, weights=name).model.state_dict())
            assert all(torch.equal(found[key], tensor) for key, tensor in stored(tmp_path / "run", 3, part).items())
        assert same(dict(zoo.load(folder).model.state_dict()), dict(zoo.load(step / "model").model.state_dict()))
    assert zoo.load(step / "model-ema").generate("A list", max_new_tokens=3) is not None


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    pretrain(tiny_run(tmp_path, "gpt", "trainer.max_steps=1"), tmp_path / "run")
    with pytest.raises(CheckpointError, match=r"step-1 has no 'ema' weights: its run has no trainer\.ema.*use 'raw'"):
        zoo.load(tmp_path / "run", weights="ema")
    with pytest.raises(CheckpointError, match=r"one set of weights; give its run"):
        zoo.load(newest(tmp_path / "run") / "model", weights="ema")
    with pytest.raises(ConfigError, match=r"weights: unknown weights 'eam'; did you mean 'ema'\? \(legal: ema, raw\)"):
        zoo.load(tmp_path / "run", weights="eam")


# --------------------------------------------------------------------------------------------------------------- config


def test_an_average_that_never_begins_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"trainer\.ema\.start: 4 has no effect: .*at step 5, after max_steps=4"):
        tiny_run(tmp_path, "gpt", "trainer.ema={start: 4}")
    assert tiny_run(tmp_path, "gpt", "trainer.ema={start: 3}").trainer.ema == EMAConfig(start=3)
    with pytest.raises(ConfigError, match=r"trainer\.ema: does not go with optimizer=schedule_free"):
        tiny_run(tmp_path, "gpt", "trainer.ema={}", "optimizer=schedule_free", "schedule=constant")
    with pytest.raises(ConfigError, match=r"trainer\.ema\.decay: 1"):
        tiny_run(tmp_path, "gpt", "trainer.ema.decay=1.0")


def test_applied_puts_back_the_very_tensors(tmp_path: Path) -> None:
    """Tied weights once, and after an error too."""
    model = prepare(tiny_run(tmp_path, "bert"), progress=False).module.model
    average = WeightAverage(EMAConfig(decay=0.5), model)
    average.update(1)
    before = {name: (tensor.data_ptr(), tensor.clone()) for name, tensor in model.state_dict().items()}
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)

    def fail_inside() -> None:
        with average.applied():
            assert all(torch.equal(tensor, before[name][1]) for name, tensor in model.state_dict().items())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_inside()
    for name, tensor in model.state_dict().items():
        assert tensor.data_ptr() == before[name][0]
        assert name not in dict(model.named_parameters()) or not torch.equal(tensor, before[name][1])
