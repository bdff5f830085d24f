"""After each step: log, validate, save, stop, in this order and at these steps."""

import csv
import os
import signal
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tests.training.tiny import DROPOUT, KINDS, newest, same, tiny_run
from zoo.checkpoint.folder import steps_of
from zoo.checkpoint.tensors import load_tensors, load_tree
from zoo.errors import CheckpointError, DataError
from zoo.loading import load
from zoo.training import conductor as conducting
from zoo.training.conductor import Conductor, checkpoint_step, columns
from zoo.training.evaluation import Evaluation
from zoo.training.interrupt import Interrupted
from zoo.training.metrics_file import MetricsFile, read_metrics
from zoo.training.progress import LineProgress
from zoo.training.run import prepare, pretrain, read_result


def steps_with(rows: list[dict[str, str]], column: str) -> list[int]:
    return [int(row["step"]) for row in rows if row[column]]


@pytest.mark.parametrize(
    "log, validate, save, logged, validated, saved",
    [
        (3, 4, 5, [1, 3, 6, 9, 10], [4, 8, 10], [5, 10]),
        (100, "null", "null", [1, 10], [10], [10]),
        (1, 10, 4, list(range(1, 11)), [10], [4, 8, 10]),
    ],
)
def test_intervals(
    log: int, validate: Any, save: Any, logged: list[int], validated: list[int], saved: list[int], tmp_path: Path
) -> None:
    settings = (f"log_every={log}", f"validate_every={validate}", f"save_every={save}", "keep=100", "max_steps=10")
    pretrain(tiny_run(tmp_path, "gpt", *(f"trainer.{setting}" for setting in settings)), tmp_path / "run")
    rows = read_metrics(tmp_path / "run" / "metrics.csv")
    assert steps_with(rows, "train/loss") == logged
    assert steps_with(rows, "validation/loss") == validated
    assert [step for step, _ in reversed(steps_of(tmp_path / "run" / "checkpoints"))] == saved
    steps = [int(row["step"]) for row in rows]
    assert steps == sorted(set(steps)) == sorted({*logged, *validated})


def test_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written of a step is on disk before the step is saved."""
    seen: list[str] = []
    for name in ("_training_row", "_validation_row", "_write", "_save"):
        original = getattr(Conductor, name)

        def watch(self: Conductor, *arguments: Any, _name: str = name, _original: Any = original) -> Any:
            seen.append(_name)
            return _original(self, *arguments)

        monkeypatch.setattr(Conductor, name, watch)
    pretrain(tiny_run(tmp_path, "gpt", "trainer.max_steps=1"), tmp_path / "run")
    assert seen == ["_training_row", "_validation_row", "_write", "_save"]


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_keeps_the_newest(keep: int, tmp_path: Path) -> None:
    settings = (f"trainer.keep={keep}", "trainer.save_every=2", "trainer.max_steps=9")
    pretrain(tiny_run(tmp_path, "gpt", *settings), tmp_path / "run")
    assert [step for step, _ in steps_of(tmp_path / "run" / "checkpoints")] == [9, 8, 6, 4][:keep]


def test_checkpoint_that_cannot_be_removed_is_said_and_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conducting, "prune", lambda *arguments, **options: ["cannot remove the old checkpoint step-1"])
    with pytest.warns(UserWarning, match="cannot remove the old checkpoint step-1"):
        assert pretrain(tiny_run(tmp_path, "gpt", "trainer.max_steps=1"), tmp_path / "run").steps == 1


class Course:
    """Validations whose losses are said beforehand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *losses: float) -> None:
        self.losses = iter(losses)
        self.evaluate = conducting.evaluate
        monkeypatch.setattr(conducting, "evaluate", self)

    def __call__(self, *arguments: Any, **options: Any) -> Evaluation:
        evaluation = self.evaluate(*arguments, **options)
        return evaluation._replace(means={**evaluation.means, "loss": next(self.losses)})


BY_TWO = ("trainer.validate_every=2", "trainer.max_steps=12", "trainer.keep=1")


@pytest.mark.parametrize(
    "keep, left", [(0, [12]), (1, [4, 12]), (2, [4, 8, 12]), (3, [4, 8, 10, 12]), (9, [2, 4, 6, 8, 10, 12])]
)
def test_keeps_the_best_too(keep: int, left: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At every moment the best so far are there, whole; `load` finds the best one."""
    Course(monkeypatch, 5.0, 1.0, 4.0, 2.0, 3.0, 6.0)
    run = tmp_path / "run"
    result = pretrain(tiny_run(tmp_path, "gpt", *BY_TWO, f"best.keep={keep}"), run)
    assert [step for step, _ in reversed(steps_of(run / "checkpoints"))] == left
    if keep:
        best = run / "checkpoints" / "step-4"
        assert result.best == read_result(run).best == best
        expected = load_tensors(best / "model" / "model.safetensors")
        assert same(dict(load(run, which="best").model.state_dict()), expected)
        assert not same(dict(load(run).model.state_dict()), expected)
    else:
        assert result.best is None
        with pytest.raises(CheckpointError, match=r"has kept no best checkpoint; train with best\.keep=1"):
            load(run, which="best")


def test_best_that_is_the_newest_takes_no_place_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Course(monkeypatch, 5.0, 4.0, 3.0, 2.0, 1.5, 1.0)
    run = tmp_path / "run"
    pretrain(tiny_run(tmp_path, "gpt", *BY_TWO, "best.keep=2", "trainer.keep=2"), run)
    assert [step for step, _ in steps_of(run / "checkpoints")] == [12, 10]


def test_damaged_best_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Course(monkeypatch, 1.0, 4.0, 5.0, 5.0, 5.0, 6.0)
    run = tmp_path / "run"
    pretrain(tiny_run(tmp_path, "gpt", *BY_TWO, "best.keep=1"), run)
    (run / "checkpoints" / "step-2" / "model" / "config.yaml").unlink()
    with pytest.raises(CheckpointError, match="step-2"):
        load(run, which="best")
    assert load(run).config.kind == "decoder"


def test_ends_early_and_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Course(monkeypatch, 5.0, 4.0, 4.5, 4.0, 3.0, 2.0)
    run = tmp_path / "run"
    config = tiny_run(tmp_path, "gpt", *BY_TWO, "best.patience=2", "trainer.log_every=100")
    result = pretrain(config, run)
    assert result.steps == 8
    assert result.ended == "validation/loss has not been better than 4 of step 4 for 2 validations (best.patience)"
    assert [step for step, _ in steps_of(run / "checkpoints")] == [8]
    assert [int(row["step"]) for row in read_metrics(run / "metrics.csv")][-1] == 8
    again = pretrain(config, run)
    assert again.already_finished
    assert (again.steps, again.ended) == (8, result.ended)
    (run / "result.json").unlink()  # killed just before it was written
    assert pretrain(config, run)._replace(seconds=0) == result._replace(seconds=0)


def test_patience_survives_a_break(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    losses = [5.0, 4.0, 4.5, 4.25, 4.0, 2.0]
    settings = (*BY_TWO, "best.patience=3", "best.keep=1", "trainer.save_every=3")

    def interrupt(self: Conductor, step: int, row: dict[str, float]) -> None:
        write(self, step, row)
        if step == 6:
            os.kill(os.getpid(), signal.SIGTERM)

    Course(monkeypatch, *losses)
    write = Conductor._write
    monkeypatch.setattr(Conductor, "_write", interrupt)
    with pytest.raises(Interrupted):
        pretrain(tiny_run(tmp_path, "gpt", *settings), tmp_path / "run")
    monkeypatch.setattr(Conductor, "_write", write)
    result = pretrain(tiny_run(tmp_path, "gpt", *settings), tmp_path / "run")
    assert result.steps == 10
    assert result.ended
    assert result.best == tmp_path / "run" / "checkpoints" / "step-4"
    assert [step for step, _ in steps_of(tmp_path / "run" / "checkpoints")] == [10, 4]


@pytest.mark.parametrize("kind", KINDS)
def test_columns(kind: str, tmp_path: Path) -> None:
    pretrain(tiny_run(tmp_path, kind, "trainer.accumulate=2"), tmp_path / "run")
    with (tmp_path / "run" / "metrics.csv").open(encoding="utf-8") as file:
        names, *rows = list(csv.reader(file))
    config = tiny_run(tmp_path, kind)
    module = prepare(config, progress=False).module
    assert names == columns(module, config)
    for name in config.objectives:
        assert {f"train/{name}/loss", f"train/{name}/targets", f"validation/{name}/accuracy"} <= set(names)
    last = dict(zip(names, map(float, rows[-1]), strict=True))  # nothing is blank
    assert last["train/loss"] == pytest.approx(
        sum(objective.weight * last[f"train/{name}/loss"] for name, objective in config.objectives.items()), rel=1e-4
    )
    assert 0 < last["mfu"] < 1.5
    assert [float(row[names.index("tokens")]) for row in rows] == sorted(
        float(row[names.index("tokens")]) for row in rows
    )


def test_tokens_and_time_count_the_steps_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither validation nor saving counts as training time: each takes an hour here, and asking the clock a second."""
    now = [0.0]

    def clock() -> float:
        now[0] += 1
        return now[0]

    def slowly(function: Any) -> Any:
        def slow(self: Conductor, *arguments: Any) -> Any:
            now[0] += 3600
            return function(self, *arguments)

        return slow

    monkeypatch.setattr(conducting, "time", SimpleNamespace(perf_counter=clock))
    for name in ("_save", "_validation_row"):
        monkeypatch.setattr(Conductor, name, slowly(getattr(Conductor, name)))
    settings = ("trainer.save_every=1", "trainer.validate_every=1", "trainer.max_steps=6")
    result = pretrain(tiny_run(tmp_path, "gpt", *settings), tmp_path / "run")
    assert now[0] >= 12 * 3600
    assert 6 <= result.seconds < 60
    rows = read_metrics(tmp_path / "run" / "metrics.csv")
    config = tiny_run(tmp_path, "gpt")
    prepared = prepare(config, progress=False)
    assert result.tokens == int(rows[-1]["tokens"]) > 6 * config.trainer.batch_size
    assert prepared.config.model.max_length * 6 * config.trainer.batch_size >= result.tokens


def test_utilization_is_flops_over_time_and_peak(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from zoo.data.plan import Plan
    from zoo.models.flops import RowShape, training_flops

    monkeypatch.setattr(conducting, "peak_flops", lambda *arguments: 1e9)
    config = tiny_run(tmp_path, "gpt", "trainer.max_steps=1")
    result = pretrain(config, tmp_path / "run")
    prepared = prepare(config, progress=False)
    draw = Plan(prepared.training.num_rows, config.trainer.batch_size, config.seed).step(0)
    (part,) = prepared.training.collate(draw.epochs, draw.samples)
    rows, length = part.batch.inputs["tokens"].shape
    scored = int((part.batch.labels["causal_lm"] >= 0).sum())
    flops = rows * training_flops(prepared.module.model, RowShape(length, 0, scored / rows))
    speed = result.metrics["tokens_per_second"]
    assert result.metrics["mfu"] == pytest.approx(flops / result.tokens * speed / 1e9, rel=1e-6)


# ---------------------------------------------------------------------------------------------------------- how it ends


class Ending(Exception):  # noqa: N818  (a stand-in for any error)
    """An error in the middle of a run."""


@pytest.mark.parametrize("how", ["whole", "error", "signal"])
def test_logs_are_closed_however_it_ends(how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[str] = []
    for owner in (MetricsFile, LineProgress):
        close = owner.close

        def watch(self: Any, _close: Any = close) -> None:
            closed.append(type(self).__name__)
            _close(self)

        monkeypatch.setattr(owner, "close", watch)

    def end(self: Conductor, step: int, row: dict[str, float]) -> None:
        if how == "error" and step == 2:
            raise Ending
        if how == "signal" and step == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Conductor, "_write", end)
    expected = {"whole": None, "error": Ending, "signal": Interrupted}[how]
    if expected is None:
        pretrain(tiny_run(tmp_path, "gpt"), tmp_path / "run")
    else:
        with pytest.raises(expected):
            pretrain(tiny_run(tmp_path, "gpt"), tmp_path / "run")
    assert sorted(closed) == ["LineProgress", "MetricsFile"]
    # a signal in step 2 is seen by all ranks in step 3
    assert [step for step, _ in steps_of(tmp_path / "run" / "checkpoints")] == {
        "whole": [4],
        "error": [],
        "signal": [3],
    }[how]


def test_signal_in_the_last_step_finds_the_run_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Conductor, "_write", lambda self, step, row: step == 4 and os.kill(os.getpid(), signal.SIGTERM))
    assert pretrain(tiny_run(tmp_path, "gpt"), tmp_path / "run").steps == 4


# ---------------------------------------------------------------------------------------------------------------- state


def test_state_travels_in_the_checkpoint(tmp_path: Path) -> None:
    result = pretrain(tiny_run(tmp_path, "gpt", *DROPOUT), tmp_path / "run")
    (state,) = load_tree(newest(tmp_path / "run"), "trainer")["callbacks"].values()
    assert state["tokens"] == result.tokens
    assert state["last"] == result.metrics
    assert state["first_loss"] == result.first_loss
    conductor = Conductor(tiny_run(tmp_path, "gpt"), None, None, None, state["fingerprints"])  # type: ignore[arg-type]
    conductor.load_state_dict(state)
    assert conductor.state_dict() == state


def test_other_text_is_refused(tmp_path: Path) -> None:
    class Folder:
        path = tmp_path / "run"

    conductor = Conductor(tiny_run(tmp_path, "gpt"), Folder(), None, None, {"text": "new"})  # type: ignore[arg-type]
    with pytest.raises(DataError, match=rf"the text changed since {tmp_path / 'run'} was begun"):
        conductor.load_state_dict({"fingerprints": {"text": "old"}})


def test_step_of_a_folder() -> None:
    assert checkpoint_step(Path("runs/x/checkpoints/step-120")) == 120


def test_run_warns_of_nothing(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pretrain(tiny_run(tmp_path, "gpt", "trainer.save_every=2"), tmp_path / "run")
        (tmp_path / "run" / "result.json").unlink()
        torch.manual_seed(0)
        pretrain(tiny_run(tmp_path, "gpt", "trainer.save_every=2"), tmp_path / "run")
