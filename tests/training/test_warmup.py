"""Fewer rows a step and shorter rows first: what step N trains on stays a function of N."""

from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.tiny import DROPOUT, KINDS, counters, distance, moments, same, tiny_run, weights
from zoo.data.plan import Plan
from zoo.data.stages import growing
from zoo.errors import ConfigError
from zoo.training.config import RunConfig
from zoo.training.datamodule import Legs, StepDataset
from zoo.training.metrics_file import read_metrics
from zoo.training.run import Prepared, _data_module, prepare, pretrain

BATCHES = "trainer.batch_warmup={start: 2, increment: 2, steps: 6}"
LENGTHS = "trainer.length_warmup={start: 20, increment: 10, steps: 4}"
LONGER = ("trainer.max_steps=8", "trainer.save_every=2")


def steps_of_run(prepared: Prepared, accumulate: int = 1, rank: int = 0, ranks: int = 1) -> Legs:
    data = _data_module(prepared)
    legs = [*data.shorter, (data.rows, data.plan)]
    datasets = [StepDataset(rows, plan, accumulate, rank, ranks) for rows, plan in legs]
    return Legs([plan.first_step for _, plan in legs], datasets)


# ---------------------------------------------------------------------------------------------------------------- rows


@pytest.mark.parametrize("num_rows", [5, 40, 1000])
def test_growing_steps_go_through_the_same_rows_in_the_same_order(num_rows: int) -> None:
    grown, even = Plan(num_rows, growing(2, 8, 2, 9), 3), Plan(num_rows, 1, 3)
    rows = [pair for step in range(20) for pair in zip(*map(list, grown.step(step)), strict=True)]
    assert rows == [(int(d.epochs[0]), int(d.samples[0])) for d in map(even.step, range(len(rows)))]
    assert max(Counter(rows).values()) == 1


@pytest.mark.parametrize("accumulate", [1, 2, 4])
@pytest.mark.parametrize("ranks", [1, 2])
def test_microbatches_are_never_larger_than_those_of_a_full_step(accumulate: int, ranks: int) -> None:
    plan = Plan(100, growing(2, 16, 2, 14), 0)
    largest = 16 // (accumulate * ranks)
    for step in range(20):
        parts = [plan.microbatches(step, accumulate, rank, ranks) for rank in range(ranks)]
        sizes = [len(draw.samples) for draws in parts for draw in draws]
        assert max(sizes) <= largest
        assert max(sizes) - min(sizes) <= 1
        assert len(parts[0]) == -(-plan.rows.value(step) // (ranks * largest))  # and no more of them than it takes
        together = [int(sample) for draws in parts for draw in draws for sample in draw.samples]
        assert together == plan.step(step).samples.tolist()


def test_step_that_the_ranks_cannot_share_is_refused() -> None:
    with pytest.raises(ConfigError, match="3 rows a step cannot be shared out to 2 ranks"):
        Plan(100, growing(3, 8, 5, 4), 0).microbatches(0, 1, 0, 2)


@pytest.mark.parametrize("kind", ["bert", "gpt", "t5"])
def test_split_changes_nothing_while_the_batch_grows(kind: str, tmp_path: Path) -> None:
    found = []
    for accumulate in (1, 4):
        config = tiny_run(tmp_path, kind, *LONGER, BATCHES, f"trainer.accumulate={accumulate}")
        pretrain(config, tmp_path / str(accumulate))
        found.append(weights(tmp_path / str(accumulate)))
    assert distance(*found) < 1e-4


# -------------------------------------------------------------------------------------------------------------- lengths


@pytest.mark.parametrize("kind", KINDS)
def test_rows_are_those_of_a_run_of_that_length(kind: str, tmp_path: Path) -> None:
    prepared = prepare(tiny_run(tmp_path, kind, LENGTHS, *LONGER), progress=False)
    steps = steps_of_run(prepared)
    for length, numbers in ((20, (0, 1)), (30, (2, 3)), (40, (4, 5, 7))):
        alone = prepare(tiny_run(tmp_path, kind, f"model.max_length={length}", *LONGER), progress=False)
        expected = steps_of_run(alone)
        for number in numbers:
            one, other = steps[number], expected[number - numbers[0]]
            assert one.num_tokens == other.num_tokens
            for parts in zip(one.microbatches, other.microbatches, strict=True):
                for mine, theirs in zip(*parts, strict=True):
                    for name, tensor in {**mine.batch.inputs, **mine.batch.labels}.items():
                        assert torch.equal(tensor, {**theirs.batch.inputs, **theirs.batch.labels}[name])
                    assert mine.batch.inputs["tokens"].shape[1] <= length


@pytest.mark.parametrize("kind", KINDS)
def test_stopped_run_goes_on_as_if_it_had_not_been(
    kind: str, tmp_path: Path, break_at: Callable[[RunConfig, Path, int], None]
) -> None:
    settings = (*LONGER, *DROPOUT, BATCHES, LENGTHS, "trainer.accumulate=2", "trainer.validate_every=3")
    pretrain(tiny_run(tmp_path, kind, *settings), tmp_path / "whole")
    for step in (3, 5):
        break_at(tiny_run(tmp_path, kind, *settings), tmp_path / "broken", step)
    pretrain(tiny_run(tmp_path, kind, *settings, "trainer.num_workers=2"), tmp_path / "broken")
    assert same(weights(tmp_path / "broken"), weights(tmp_path / "whole"))
    assert same(moments(tmp_path / "broken"), moments(tmp_path / "whole"))
    assert counters(tmp_path / "broken") == counters(tmp_path / "whole")


def test_log_shows_both_growing(tmp_path: Path) -> None:
    pretrain(tiny_run(tmp_path, "gpt", *LONGER, BATCHES, LENGTHS), tmp_path / "run")
    tokens = [0, *(int(row["tokens"]) for row in read_metrics(tmp_path / "run" / "metrics.csv"))]
    of_step = [after - before for before, after in pairwise(tokens)]
    assert of_step[0] <= 2 * 20
    assert of_step[2] <= 4 * 30
    assert 6 * 40 >= of_step[4] > 4 * 30 / 2
    assert of_step[7] <= 8 * 40


# ------------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    "settings, words",
    [
        (
            ["trainer.batch_warmup={start: 8, increment: 2, steps: 2}"],
            r"batch_warmup.start: 8 must be below batch_size=8",
        ),
        (
            ["trainer.batch_warmup={start: 2, increment: 4, steps: 2}"],
            r"batch_warmup.increment: 4 does not lead from start=2 to batch_size=8; legal: 1, 2, 3, 6",
        ),
        (
            ["trainer.batch_warmup={start: 2, increment: 2, steps: 2}"],
            r"batch_warmup.steps: 2 steps are too few for the 3 strides of 2 .* take 3 or more",
        ),
        (
            ["trainer.batch_warmup={start: 2, increment: 3, steps: 4}"],
            r"batch_warmup.steps: 4 steps leave none of max_steps=4 for batch_size=8",
        ),
        (
            ["trainer.batch_warmup={start: 2, increment: 3, steps: 3}", "trainer.devices=2"],
            r"trainer.batch_warmup: 5 rows a step cannot be shared out to 2 ranks",
        ),
        (["trainer.batch_warmup={start: 2, steps: 3}"], r"trainer.batch_warmup.increment: is required"),
        (["trainer.batch_warmup=3"], r"trainer.batch_warmup: must be a group of settings"),
        (
            ["trainer.length_warmup={start: 40, increment: 8, steps: 2}"],
            r"trainer.length_warmup.start: 40 must be below model.max_length=40",
        ),
        (["trainer.length_warmup={start: 10, increment: 7, steps: 2}"], r"length_warmup.increment: 7 .* 10, 15, 30"),
    ],
)
def test_what_is_refused(settings: list[str], words: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=words):
        tiny_run(tmp_path, "gpt", *settings)


@pytest.mark.parametrize("kind", ["bert", "t5"])
def test_rows_too_short_for_an_objective_are_refused_by_name(kind: str, tmp_path: Path) -> None:
    config: Any = tiny_run(tmp_path, kind, "trainer.length_warmup={start: 2, increment: 38, steps: 2}")
    with pytest.raises(ConfigError, match=r"trainer.length_warmup: rows of 2 tokens cannot be made: .* short for"):
        prepare(config, progress=False)
