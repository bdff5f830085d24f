"""Small steps first: fewer rows a step (Brown et al. 2020, arXiv:2005.14165, section 2.3), shorter rows (Devlin et al.
2018, arXiv:1810.04805, section A.2: nine tenths of the steps with rows of 128 tokens, the rest with 512).

Both grow in equal strides at steps known beforehand (`zoo.data.stages`), so what step N trains on stays a function of
N. A step of fewer rows has fewer microbatches, none of them larger than those of a full step. Rows of each length are
made from the whole text anew, as in a run of that `max_length`: packed for it, noised for it, in an order of their own.
"""

from __future__ import annotations

from dataclasses import dataclass

from zoo.config import Config, setting
from zoo.data.stages import Stages, constant, growing
from zoo.errors import ConfigError
from zoo.training.budget import Budget


@dataclass(frozen=True, kw_only=True)
class WarmupConfig(Config):
    """What grows from `start` to its full size, `increment` at a time, in stages of equal length."""

    start: int = setting(doc="size in the first step", minimum=1)
    increment: int = setting(doc="by how much it grows at a time", minimum=1)
    steps: int = setting(doc="the step at which the full size is reached", minimum=1)

    def check(self, full: int, what: str, budget: Budget) -> None:
        """Raises ConfigError where it does not lead to `full`, the size in `what`, or not within the run."""
        if self.start >= full:
            raise ConfigError(f"{self.start} must be below {what}={full}, which it grows to", "start")
        way = full - self.start
        if way % self.increment:
            legal = [str(size) for size in range(1, way + 1) if way % size == 0]
            some = legal if len(legal) <= 12 else [*legal[:6], "…", *legal[-6:]]
            raise ConfigError(
                f"{self.increment} does not lead from start={self.start} to {what}={full}; legal: {', '.join(some)}",
                "increment",
            )
        strides = way // self.increment
        if self.steps < strides:
            raise ConfigError(
                f"{self.steps} steps are too few for the {strides} strides of {self.increment} from {self.start} to "
                f"{what}={full}; take {strides} or more, or a larger increment",
                "steps",
            )
        if budget.unit == "steps" and self.steps >= budget.limit:
            raise ConfigError(f"{self.steps} steps leave none of {budget} for {what}={full}; take fewer", "steps")


def sizes(warmup: WarmupConfig | None, full: int) -> Stages:
    """The size at each step."""
    return constant(full) if warmup is None else growing(warmup.start, full, warmup.increment, warmup.steps)
