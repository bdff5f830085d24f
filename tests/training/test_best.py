"""Which validation is the best, and when a run ends early."""

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.training.tiny import KINDS, tiny_run
from zoo.errors import ConfigError
from zoo.training.best import BestConfig, Standing

VALUES = st.lists(st.one_of(st.floats(-5, 5), st.just(math.nan)), max_size=30)


def judged(config: BestConfig, values: list[float]) -> Standing:
    standing = Standing(config)
    for number, value in enumerate(values):
        standing.judge(10 * (number + 1), value)
    return standing


@given(values=VALUES, keep=st.integers(0, 4), higher=st.booleans())
def test_the_best_so_far_are_asked_for(values: list[float], keep: int, higher: bool) -> None:
    """After each validation, its step is asked for where it is among the `keep` best; of equal ones the earlier are."""
    standing = Standing(BestConfig(metric="validation/x/accuracy" if higher else "validation/x/loss", keep=keep))
    for number, value in enumerate(values):
        standing.judge(number, value)
        finite = [(other, step) for step, other in enumerate(values[: number + 1]) if math.isfinite(other)]
        best = sorted(finite, key=lambda pair: (-pair[0] if higher else pair[0], pair[1]))[:keep]
        assert standing.asks_for(number) == ((value, number) in best)
        assert [each.step for each in standing.ranked[:keep]] == [step for _, step in best]


@pytest.mark.parametrize(
    "values, margin, ended_after",
    [
        ([5, 4, 3, 2, 1], 0.0, None),
        ([5, 4, 4, 4, 1], 0.0, 4),
        ([5, 4, 6, 3.9, 3.8], 0.0, None),
        ([5, 4.9, 4.8, 4.7], 0.25, 3),  # nothing is better than 5 by more than 0.25 in two
        ([5, 4.9, 4.7, 4.6], 0.25, None),
        ([math.nan, math.nan, 1], 0.0, 2),
        ([5, math.inf, math.nan], 0.0, 3),
    ],
)
def test_patience_of_two(values: list[float], margin: float, ended_after: int | None) -> None:
    standing = Standing(BestConfig(patience=2, margin=margin))
    for number, value in enumerate(values, start=1):
        standing.judge(number, value)
        if standing.ended:
            break
    assert (number if standing.ended else None) == ended_after
    if ended_after:
        assert "validation/loss" in standing.ended
        assert "for 2 validations (best.patience)" in standing.ended
        assert standing.asks_for(number), "what a run ends with is saved"


def test_reason_names_the_best() -> None:
    standing = judged(BestConfig(patience=1, metric="validation/x/accuracy"), [0.5, 0.25])
    assert standing.ended == (
        "validation/x/accuracy has not been better than 0.5 of step 10 for 1 validation (best.patience)"
    )


@given(values=VALUES, cut=st.integers(0, 30), keep=st.integers(0, 3), patience=st.one_of(st.none(), st.integers(1, 5)))
def test_state_goes_through_json(values: list[float], cut: int, keep: int, patience: int | None) -> None:
    """A run that is cut anywhere judges on as if it had not been."""
    config = BestConfig(keep=keep, patience=patience)
    whole, first, second = Standing(config), Standing(config), Standing(config)
    for number, value in enumerate(values):
        whole.judge(number, value)
        (first if number < cut else second).judge(number, value)
        if number == min(cut, len(values)) - 1:
            second.restore(json.loads(json.dumps(first.state())))
    if cut and cut < len(values):
        assert second.state() == whole.state()


@pytest.mark.parametrize(
    "settings, words",
    [
        (["best.metric=validation/lss", "best.keep=1"], "best.metric: unknown metric 'validation/lss'; did you mean"),
        (["best.metric=train/loss", "best.keep=1"], r"best.metric: .*legal: .*validation/causal_lm/accuracy"),
        (["best.metric=validation/causal_lm/accuracy"], r"best.metric: .*has no effect: set keep.* or patience"),
        (["best.margin=0.1"], r"best.margin: 0\.1 has no effect without patience"),
        (["best.patience=3"], r"best.patience: 3 has no effect: trainer.validate_every is null"),
        (["best.patience=0", "trainer.validate_every=1"], "best.patience: 0 must be at least 1"),
        (["best.keep=-1"], "best.keep: -1 must be at least 0"),
        (["data.validation_fraction=0", "best.keep=1"], r"best.keep: 1 has no effect: data.validation_fraction is 0"),
        (["data.validation_fraction=0", "samples.prompts=[a]"], r"samples.prompts: .*validation_fraction is 0"),
    ],
)
def test_what_has_no_effect_is_refused(settings: list[str], words: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=words):
        tiny_run(tmp_path, "gpt", *settings)


@pytest.mark.parametrize("kind", KINDS)
def test_every_objective_has_metrics(kind: str, tmp_path: Path) -> None:
    for name in tiny_run(tmp_path, kind).objectives:
        tiny_run(tmp_path, kind, f"best.metric=validation/{name}/accuracy", "best.keep=1")
