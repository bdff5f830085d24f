"""Which checkpoint of a run is the best, and when no better one is to be expected.

Each validation is judged by one metric. The steps with the best ones keep their checkpoints beside the newest, and a
run that has not got better for some validations ends (early stopping). All of this is state of the run: a continued run
judges on as if it had never stopped.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from zoo.config import Config, setting
from zoo.errors import ConfigError
from zoo.objectives.base import ObjectiveConfig
from zoo.registry import unknown_name
from zoo.training.measures import is_better_higher, measure_names


@dataclass(frozen=True, kw_only=True)
class BestConfig(Config):
    """What the best checkpoint is, how many are kept, and when the run ends early."""

    metric: str = setting(
        "validation/loss", "which column of the log decides; accuracies and exact matches: the higher, else the lower"
    )
    keep: int = setting(
        0,
        "how many of the best checkpoints stay beside the newest ones; a step whose validation is among the best so "
        "far is saved at once",
        minimum=0,
    )
    patience: int | None = setting(
        None, "the run ends after so many validations in a row without a better one; null: it does not", minimum=1
    )
    margin: float = setting(
        0.0, "how much better, in the metric's unit, a validation must be to renew patience", minimum=0
    )

    def check(self, objectives: Mapping[str, ObjectiveConfig], sources: Iterable[str], ema: bool) -> None:
        """Raises ConfigError where no such metric is measured, or a setting has no effect."""
        prefixes = ("validation", "validation_ema") if ema else ("validation",)
        legal = [f"{prefix}/{name}" for prefix in prefixes for name in measure_names(objectives, sources)]
        if self.metric not in legal:
            raise ConfigError(unknown_name("metric", self.metric, legal), "metric")
        if self.margin and self.patience is None:
            raise ConfigError(f"{self.margin} has no effect without patience; set that too, or this to 0", "margin")
        if self.metric != BestConfig.metric and not self.keep and self.patience is None:
            raise ConfigError(
                f"{self.metric!r} has no effect: set keep, for the best checkpoints to stay, or patience", "metric"
            )


class Judged(NamedTuple):
    """A validation and what it came to."""

    step: int
    value: float


class Standing:
    """How the validations of a run have gone so far.

    Args:
        config: what decides.

    Attributes:
        ranked: the best validations, best first: as many as are kept, one at least once there was one.
        stale: validations since patience was last renewed.
        ended: why the run ends here; "": it goes on.
    """

    def __init__(self, config: BestConfig) -> None:
        self.config = config
        self.sign = 1.0 if is_better_higher(config.metric) else -1.0
        self.ranked: list[Judged] = []
        self.renewed: Judged | None = None
        self.stale = 0
        self.ended = ""

    def judge(self, step: int, value: float) -> None:
        """Takes a validation in. Of equal ones the earlier is better."""
        judged = Judged(step, value)
        most = max(self.config.keep, 1)
        if math.isfinite(value):
            self.ranked = sorted([*self.ranked, judged], key=lambda each: -self.sign * each.value)[:most]
        self._wait(judged)

    def asks_for(self, step: int) -> bool:
        """Whether the step is to be saved: it is among the best that are kept, or the run ends with it."""
        return bool(self.ended) or any(each.step == step for each in self.ranked[: self.config.keep])

    def _wait(self, judged: Judged) -> None:
        """Counts the validations that brought nothing, and ends the run where they are enough."""
        before = self.renewed
        if math.isfinite(judged.value) and (
            before is None or self.sign * (judged.value - before.value) > self.config.margin
        ):
            self.renewed, self.stale = judged, 0
            return
        self.stale += 1
        if self.config.patience is not None and self.stale >= self.config.patience:
            best = "was never a number" if before is None else f"has not been better than {before.value:.4g}"
            since = "" if before is None else f" of step {before.step}"
            times = "validation" if self.stale == 1 else "validations"
            self.ended = f"{self.config.metric} {best}{since} for {self.stale} {times} (best.patience)"

    def state(self) -> dict[str, Any]:
        """Plain data, for a checkpoint."""
        return {
            "ranked": [list(each) for each in self.ranked],
            "renewed": None if self.renewed is None else list(self.renewed),
            "stale": self.stale,
            "ended": self.ended,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from what `state` gave."""
        self.ranked = [Judged(*each) for each in state["ranked"]][: max(self.config.keep, 1)]
        self.renewed = None if state["renewed"] is None else Judged(*state["renewed"])
        self.stale, self.ended = state["stale"], state["ended"]
