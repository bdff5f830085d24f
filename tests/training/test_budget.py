"""How long a run is: in each unit it ends with the step that reaches the budget, killed or not."""

import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tests.conftest import ROOT
from tests.training.tiny import DROPOUT, counters, moments, rows_without_clocks, same, tiny_run, weights
from zoo.checkpoint.folder import steps_of
from zoo.errors import ConfigError
from zoo.models.flops import RowShape, training_flops
from zoo.training.budget import UNITS, Budget, FlopCounter, Spent, the_budget
from zoo.training.conductor import Conductor
from zoo.training.config import RunConfig
from zoo.training.metrics_file import read_metrics
from zoo.training.run import prepare, pretrain
from zoo.training.shipped import load_run

NO_STEPS = ("trainer.max_steps=null", "schedule.warmup_steps=0")
SHORT = ("trainer.save_every=2", "trainer.log_every=1", "trainer.validate_every=3")


def amounts(run: Path, column: str) -> list[float]:
    return [float(row[column]) for row in read_metrics(run / "metrics.csv")]


@pytest.mark.parametrize("unit", UNITS)
def test_one_unit_is_the_budget(unit: Any) -> None:
    budget = the_budget({**dict.fromkeys(UNITS), unit: 7.0})
    assert budget == Budget(unit, 7.0)
    assert str(budget) == f"max_{unit}=7"
    spent = Spent(steps=6, tokens=6, flops=6, seconds=9e9, clock=6 * 3600)
    assert not budget.is_spent(spent)
    assert budget.is_spent(Spent(steps=7, tokens=8, flops=7, clock=7 * 3600))


@pytest.mark.parametrize(
    "settings, words",
    [
        (
            ["trainer.max_tokens=1e6"],
            r"trainer.max_tokens: max_steps=4 and max_tokens=1000000 both .* trainer.max_steps=null",
        ),
        (
            ["trainer.max_steps=null"],
            r"trainer: nothing says how long the run is; set one of trainer.max_steps, .*hours",
        ),
        (["trainer.max_steps=null", "trainer.max_flops=0"], r"trainer.max_flops: 0.* must be above 0"),
        (["trainer.max_steps=null", "trainer.max_hours=.inf"], "trainer.max_hours: inf is not a finite number"),
        (
            ["trainer.max_steps=null", "trainer.max_hours=1", "trainer.max_flops=1e15"],
            "max_flops=1e.15 and max_hours=1 both say",
        ),
    ],
)
def test_budgets_that_are_refused(settings: list[str], words: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=words):
        tiny_run(tmp_path, "gpt", *settings)


@pytest.mark.parametrize("kind", ["bert", "gpt", "t5"])
def test_tokens_end_a_run_with_the_step_that_reaches_them(kind: str, tmp_path: Path) -> None:
    """And all but the end is that of a run of as many steps."""
    settings = (*SHORT, "schedule.kind=constant", *DROPOUT)
    steps = tiny_run(tmp_path, kind, *settings, "trainer.max_steps=7")
    pretrain(steps, tmp_path / "steps")
    counted = amounts(tmp_path / "steps", "tokens")
    for limit in (counted[4], counted[3] + 1):
        folder = tmp_path / f"tokens-{limit:.0f}"
        result = pretrain(tiny_run(tmp_path, kind, *settings, *NO_STEPS, f"trainer.max_tokens={limit}"), folder)
        assert result.steps == 5
        assert result.tokens == counted[4]
        five = tmp_path / "five"
        if not five.exists():
            pretrain(tiny_run(tmp_path, kind, *settings, "trainer.max_steps=5", "schedule.warmup_steps=0"), five)
        assert same(weights(folder), weights(five))


def test_operations_are_counted_as_the_model_does_them(tmp_path: Path) -> None:
    """Of every part of a step, whatever it is split into; they end the run."""
    settings = (*NO_STEPS, "schedule.kind=constant", *SHORT)
    found = {}
    for split in (1, 4):
        folder = tmp_path / str(split)
        config = tiny_run(tmp_path, "bert", *settings, "trainer.max_flops=2e8", f"trainer.accumulate={split}")
        result = pretrain(config, folder)
        found[split] = counters(folder)["conductor"]["flops"]
        assert found[split] >= 2e8 > found[split] * (result.steps - 1) / result.steps * 0.99
    assert found[1] == found[4]


@pytest.mark.parametrize("kind", ["bert", "gpt", "t5", "experts"])
def test_counter_agrees_with_the_flops_of_a_row(kind: str, tmp_path: Path) -> None:
    prepared = prepare(tiny_run(tmp_path, kind), progress=False)
    counter = FlopCounter(prepared.module.model)
    inputs = {"tokens": torch.zeros(3, 20)}
    if kind == "t5":
        inputs["decoder_tokens"] = torch.zeros(3, 7)
    expected = 3 * training_flops(prepared.module.model, RowShape(20, 7 if kind == "t5" else 0, 5))
    assert counter.of_rows([inputs]) + 15 * counter.of_scored == pytest.approx(expected, rel=1e-12)
    assert counter.of_rows([inputs, inputs]) == 2 * counter.of_rows([inputs])


@pytest.mark.parametrize("limit", ["trainer.max_tokens=3000", "trainer.max_flops=4e8"])
def test_stopped_run_ends_where_an_unbroken_one_does(
    limit: str, tmp_path: Path, break_at: Callable[[RunConfig, Path, int], None]
) -> None:
    settings = (*SHORT, *NO_STEPS, "schedule={kind: cosine, warmup_share: 0.3}", limit, *DROPOUT)
    whole = pretrain(tiny_run(tmp_path, "gpt", *settings), tmp_path / "whole")
    assert whole.steps > 4
    for step in (3, 4, whole.steps):
        break_at(tiny_run(tmp_path, "gpt", *settings), tmp_path / "broken", step)
    result = pretrain(tiny_run(tmp_path, "gpt", *settings), tmp_path / "broken")
    assert (result.steps, result.tokens) == (whole.steps, whole.tokens)
    assert same(weights(tmp_path / "broken"), weights(tmp_path / "whole"))
    assert same(moments(tmp_path / "broken"), moments(tmp_path / "whole"))
    assert counters(tmp_path / "broken") == counters(tmp_path / "whole")
    assert rows_without_clocks(tmp_path / "broken") == rows_without_clocks(tmp_path / "whole")


def test_finished_run_finds_itself_finished_without_its_result(tmp_path: Path) -> None:
    config = tiny_run(tmp_path, "gpt", *NO_STEPS, "trainer.max_tokens=2000")
    first = pretrain(config, tmp_path / "run")
    (tmp_path / "run" / "result.json").unlink()
    assert pretrain(config, tmp_path / "run") == first


def test_hours_are_those_of_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A clock that goes on by a second whenever it is asked, and by an hour while the run is saved."""
    now = [0.0]

    def clock() -> float:
        now[0] += 1
        return now[0]

    save = Conductor._save

    def slow(self: Conductor, *arguments: Any) -> None:
        now[0] += 3600
        save(self, *arguments)

    monkeypatch.setattr("zoo.training.conductor.time", SimpleNamespace(perf_counter=clock))
    monkeypatch.setattr(Conductor, "_save", slow)
    hours = 20 / 3600
    settings = (*SHORT, *NO_STEPS, "trainer.save_every=1", f"trainer.max_hours={hours}", "schedule.kind=linear")
    config = tiny_run(tmp_path, "gpt", *settings)
    result = pretrain(config, tmp_path / "run")
    assert "another run has other weights" in capsys.readouterr().err
    assert 20 <= result.seconds <= 24
    assert 5 < result.steps < 20
    rates = amounts(tmp_path / "run", "learning_rate")
    assert rates[0] > 0
    assert all(later < earlier for earlier, later in pairwise(rates))
    assert rates[-1] < 0.3 * rates[0]
    for step, path in steps_of(tmp_path / "run" / "checkpoints"):
        if step == result.steps:  # killed in the last moment: what was counted is in the checkpoint before
            (path / "manifest.json").unlink()
    (tmp_path / "run" / "result.json").unlink()
    with pytest.warns(UserWarning, match="passing over"):
        again = pretrain(config, tmp_path / "run")
    assert abs(again.steps - result.steps) <= 1
    assert again.seconds <= result.seconds + 4


def test_page_tells_the_truth() -> None:
    """docs/length_of_a_run.md: its command resolves, and its sizes lead where it says."""
    page = (ROOT / "docs" / "length_of_a_run.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"^zoo pretrain (.*)$", page, flags=re.MULTILINE)
    name, *settings = command.split()
    assert load_run(name, settings).config.trainer.budget == Budget("tokens", 2e6)
    settings = [
        f"trainer.{line.split('#')[0].strip().replace(': ', '=', 1)}"
        for line in re.findall(r"^  (batch.*|length.*)$", page, flags=re.MULTILINE)
    ]
    config = load_run("bert-base", settings).config
    assert [config.trainer.rows.value(step) for step in (0, 2000, 14_000)] == [64, 128, 512]
    assert [config.lengths.value(step) for step in (0, 899_999, 900_000)] == [128, 128, 512]
    assert set(re.findall(r"trainer\.(max_\w+)", page)) == {f"max_{unit}" for unit in UNITS}
