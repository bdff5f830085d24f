"""Learning-rate schedules against closed forms, and their phases against the length of the run."""

import math
from pathlib import Path
from typing import Any

import pytest

from tests.training.tiny import tiny_run
from zoo.errors import ConfigError
from zoo.training.budget import Budget, Spent
from zoo.training.metrics_file import read_metrics
from zoo.training.run import pretrain
from zoo.training.schedule import (
    ConstantConfig,
    CosineConfig,
    Course,
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
    schedule.check(Budget("steps", STEPS))
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


def test_inverse_square_root_is_t5s() -> None:
    """Raffel et al. 2020, section 3.1.2, with steps counted from 1: 1/√max(n, 10⁴)."""
    schedule = InverseSquareRootConfig(warmup_steps=10_000, rises=False)
    for number in (1, 9_999, 10_000, 10_001, 524_288):
        assert 0.01 * schedule.factor(number - 1, 524_288) == pytest.approx(max(number, 10_000) ** -0.5, rel=1e-12)


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
        (WarmupStableDecayConfig(warmup_steps=41), ["41", "10 steps", "overlap", "max_steps=50"]),
    ],
)
def test_phases_that_do_not_fit(schedule: ScheduleConfig, words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        schedule.check(Budget("steps", 50))
    assert all(word in str(caught.value) for word in words)


@pytest.mark.parametrize("kind", ["cosine", "warmup_stable_decay"])
def test_run_follows_it(kind: str, tmp_path: Path) -> None:
    settings = (f"schedule={{kind: {kind}, warmup_steps: 2}}", "trainer.max_steps=6", "optimizer.learning_rate=0.01")
    config = tiny_run(tmp_path, "gpt", *settings)
    pretrain(config, tmp_path / "run")
    logged = [float(row["learning_rate"]) for row in read_metrics(tmp_path / "run" / "metrics.csv")]
    assert logged == pytest.approx([0.01 * config.schedule.factor(step, 6) for step in range(6)], rel=1e-5)


# ------------------------------------------------------------------------------------------------------- other units


@pytest.mark.parametrize("kind", CLOSED_FORMS)
@pytest.mark.parametrize("unit, scale", [("tokens", 1000.0), ("hours", 0.01)])
def test_every_unit_has_the_same_course(kind: str, unit: str, scale: float) -> None:
    """Steps of equal size: the rate is that of a run in steps, whatever they are counted in."""
    settings, _ = CLOSED_FORMS[kind]
    steps = ScheduleConfig.choices[kind](warmup_steps=WARMUP, **settings)
    other = ScheduleConfig.choices[kind](**{"warmup_steps": 0, f"warmup_{unit}": WARMUP * scale, **settings})
    other.check(Budget(unit, STEPS * scale))  # type: ignore[arg-type]
    for step in range(STEPS):
        expected = steps.factor(step, STEPS)
        assert other.factor(step * scale, STEPS * scale, scale) == pytest.approx(expected, rel=1e-9, abs=1e-9), step


@pytest.mark.parametrize("kind", CLOSED_FORMS)
def test_shares_go_with_every_unit(kind: str) -> None:
    settings, _ = CLOSED_FORMS[kind]
    share = ScheduleConfig.choices[kind](**{"warmup_steps": 0, "warmup_share": 0.1, **settings})
    steps = ScheduleConfig.choices[kind](warmup_steps=11, **settings)
    share.check(Budget("flops", 1e18))
    assert [share.factor(step, STEPS) for step in range(STEPS)] == pytest.approx(
        [steps.factor(step, STEPS) for step in range(STEPS)]
    )


def test_course_measures_in_the_unit_of_the_budget() -> None:
    schedule = LinearConfig()
    spent = Spent(steps=1, tokens=50, flops=300, seconds=9.0, clock=3600.0)
    step = Spent(steps=1, tokens=10, flops=60)
    for budget, factor in (
        (Budget("steps", 4), 0.75),
        (Budget("tokens", 500.0), 0.9),
        (Budget("flops", 400.0), 0.25),
        (Budget("hours", 2.0), 0.5),
    ):
        assert Course(schedule, budget).factor(spent, step) == factor


@pytest.mark.parametrize(
    "settings, words",
    [
        ("{kind: linear, warmup_steps: 2, warmup_share: 0.1}", "warmup_steps=2 and warmup_share=0.1 are two lengths"),
        (
            "{kind: inverse_square_root, warmup_share: 0.1}",
            "warmup_share: warmup_steps=4000 .* set schedule.warmup_steps=0",
        ),
        ("{kind: inverse_square_root, warmup_steps: 0}", "warmup_steps: 0 leaves no warm-up"),
        (
            "{kind: warmup_stable_decay, decay_steps: 2}",
            "decay_steps: .* decay_share=0.2 .* set schedule.decay_share=null",
        ),
        ("{kind: warmup_stable_decay, decay_share: null}", "decay_share: null leaves no decay"),
        (
            "{kind: linear, warmup_steps: 0, warmup_tokens: 100}",
            "warmup_tokens: 100 does not go with trainer.max_steps=4; .*_steps or",
        ),
        ("{kind: linear, warmup_share: 1.5}", "warmup_share: 1.5 must be at most 1"),
        ("{kind: warmup_stable_decay, warmup_share: 0.9}", "warmup_share: a warm-up of 3.6 and a decay of 0.8 steps"),
    ],
)
def test_lengths_that_are_refused(settings: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=rf"schedule\.{words}" if words.startswith(("warmup_share:", "decay_")) else words
    ):
        tiny_run(tmp_path, "gpt", f"schedule={settings}")


def test_steps_of_warmup_do_not_go_with_a_budget_in_tokens(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"1 does not go with trainer.max_tokens=1000; set schedule.warmup_steps=0 "):
        tiny_run(tmp_path, "gpt", "trainer.max_steps=null", "trainer.max_tokens=1000")


@pytest.mark.parametrize(
    "schedule, before, after, same",
    [
        (ConstantConfig(warmup_steps=5), 100, 200, math.inf),
        (ConstantConfig(warmup_share=0.1), 100, 200, 0),
        (InverseSquareRootConfig(warmup_steps=5), 100, 200, math.inf),
        (WarmupStableDecayConfig(warmup_steps=5), 100, 200, 80),
        (WarmupStableDecayConfig(decay_share=None, decay_steps=30), 100, 200, 70),
        (LinearConfig(warmup_steps=5), 100, 200, 5),
        (CosineConfig(), 100, 200, 0),
        (CosineConfig(warmup_share=0.1), 100, 200, 0),
    ],
)
def test_until_when_a_longer_run_has_the_same_rates(
    schedule: ScheduleConfig, before: int, after: int, same: float
) -> None:
    """And not a step further."""
    assert schedule.same_until(before, after) == same
    rates = [(schedule.factor(step, before), schedule.factor(step, after)) for step in range(before)]
    assert all(one == other for one, other in rates[: int(min(same, before))])
    assert same >= before or any(one != other for one, other in rates[int(same) : int(same) + 2])
