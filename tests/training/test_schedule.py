"""Learning-rate schedules against closed forms, and their phases against the length of the run."""

import math
from pathlib import Path
from typing import Any

import pytest

from tests.training.tiny import tiny_run
from zoo.errors import ConfigError
from zoo.training.metrics_file import read_metrics
from zoo.training.run import pretrain
from zoo.training.schedule import (
    ConstantConfig,
    CosineConfig,
    InverseSquareRootConfig,
    LinearConfig,
    ScheduleConfig,
    WarmupStableDecayConfig,
)

WARMUP, STEPS = 10, 110


def line(start: float, stop: float, share: float) -> float:
    return start + (stop - start) * share


# kind -> (settings, factor at a step that is not below the warm-up, written out anew)
CLOSED_FORMS: dict[str, tuple[dict[str, Any], Any]] = {
    "constant": ({}, lambda n: 1.0),
    "linear": ({"final": 0.2}, lambda n: line(1.0, 0.2, (n - 10) / 100)),
    "cosine": ({"final": 0.1}, lambda n: 0.1 + 0.9 * math.cos(math.pi * (n - 10) / 200) ** 2),
    "inverse_square_root": ({}, lambda n: math.sqrt(10) * (n + 1) ** -0.5),
    "warmup_stable_decay": (
        {"decay_share": 0.5, "final": 0.1},
        lambda n: 1.0 if n <= 55 else line(1.0, 0.1, (n - 55) / 55),
    ),
}


def test_every_schedule_has_a_closed_form() -> None:
    assert set(CLOSED_FORMS) == set(ScheduleConfig.choices)


@pytest.mark.parametrize("kind", CLOSED_FORMS)
def test_closed_form(kind: str) -> None:
    settings, after_warmup = CLOSED_FORMS[kind]
    schedule = ScheduleConfig.choices[kind](warmup_steps=WARMUP, **settings)
    schedule.check(STEPS)
    for step in range(STEPS):
        expected = (step + 1) / WARMUP if step < WARMUP else after_warmup(step)
        assert schedule.factor(step, STEPS) == pytest.approx(expected, abs=1e-12), step


@pytest.mark.parametrize("kind", CLOSED_FORMS)
def test_moves_from_the_first_step_and_never_jumps_or_leaves_its_range(kind: str) -> None:
    settings, _ = CLOSED_FORMS[kind]
    schedule = ScheduleConfig.choices[kind](warmup_steps=WARMUP, **settings)
    factors = [schedule.factor(step, STEPS) for step in range(STEPS)]
    assert min(factors) > 0
    assert max(factors) <= 1
    assert all(abs(a - b) <= 1 / WARMUP + 1e-12 for a, b in zip(factors[1:], factors, strict=False))
    assert factors[WARMUP - 1] == 1


def test_inverse_square_root_is_the_papers() -> None:
    """Vaswani et al. 2017, equation 3, with steps counted from 1: dim^−½ · min(n^−½, n · warmup^−1.5)."""
    dim, warmup = 512, 4000
    peak = (dim * warmup) ** -0.5
    schedule = InverseSquareRootConfig()
    assert schedule.warmup_steps == warmup
    for number in (1, 100, 3999, 4000, 4001, 100_000):
        paper = dim**-0.5 * min(number**-0.5, number * warmup**-1.5)
        assert peak * schedule.factor(number - 1, 100_000) == pytest.approx(paper, rel=1e-12)


def test_ends_where_it_says() -> None:
    """The step after the last would be at `final`; what is asked for past the end stays there."""
    for schedule in (LinearConfig(final=0.3), CosineConfig(final=0.3), WarmupStableDecayConfig(final=0.3)):
        assert schedule.factor(50, 50) == pytest.approx(0.3)
        assert schedule.factor(80, 50) == pytest.approx(0.3)
    assert ConstantConfig().factor(0, 1) == 1
    assert LinearConfig().factor(0, 1) == 1
    assert LinearConfig(warmup_steps=5).factor(4, 5) == 1  # a run that is all warm-up


@pytest.mark.parametrize(
    "schedule, words",
    [
        (LinearConfig(warmup_steps=51), ["warmup_steps: 51", "max_steps=50"]),
        (InverseSquareRootConfig(), ["4000", "max_steps=50"]),
        (WarmupStableDecayConfig(warmup_steps=41), ["41", "0.2", "overlap"]),
    ],
)
def test_phases_that_do_not_fit(schedule: ScheduleConfig, words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        schedule.check(50)
    assert all(word in str(caught.value) for word in words)


@pytest.mark.parametrize("kind", ["cosine", "warmup_stable_decay"])
def test_run_follows_it(kind: str, tmp_path: Path) -> None:
    settings = (f"schedule={{kind: {kind}, warmup_steps: 2}}", "trainer.max_steps=6", "optimizer.learning_rate=0.01")
    config = tiny_run(tmp_path, "gpt", *settings)
    pretrain(config, tmp_path / "run")
    logged = [float(row["learning_rate"]) for row in read_metrics(tmp_path / "run" / "metrics.csv")]
    assert logged == pytest.approx([0.01 * config.schedule.factor(step, 6) for step in range(6)], rel=1e-5)
