"""Learning-rate schedules: pure functions of how much of the run's budget is spent, so there is no state to save.

Each gives the factor on the peak learning rate. All warm up linearly, if they do: the first step already moves.

Everything is measured in the unit of the run (`zoo.training.budget`): a run of so many steps counts its phases in
steps, a run of so many tokens in tokens, one of so many hours in hours; shares of the run go with every unit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from zoo.config import Config, setting
from zoo.errors import ConfigError
from zoo.registry import Choice
from zoo.training.budget import UNITS, WORDS, Budget, Spent, Unit


@dataclass(frozen=True, kw_only=True)
class ScheduleConfig(Config, Choice, noun="schedule"):
    """How the learning rate moves over the run."""

    warmup_steps: int = setting(0, "steps of linear warm-up", minimum=0)
    warmup_tokens: float | None = setting(None, "tokens of linear warm-up, in a run of max_tokens", above=0)
    warmup_hours: float | None = setting(None, "hours of linear warm-up, in a run of max_hours", above=0)
    warmup_share: float | None = setting(None, "share of the run that a linear warm-up takes", above=0, maximum=1)

    phases: ClassVar[tuple[str, ...]] = ("warmup",)
    """What the run begins or ends with; each is as long as one of the settings `<phase>_<unit>` says."""

    def validate(self) -> None:
        """A phase has one length."""
        for phase in self.phases:
            said = self._said(phase)
            if len(said) > 1:
                values = " and ".join(f"{key}={value:.12g}" for key, value in said.items())
                spare = next((key for key, value in said.items() if value == _default(self, key)), next(iter(said)))
                raise ConfigError(
                    f"{values} are two lengths of one phase; set schedule.{_without(spare)}",
                    next(key for key in said if key != spare),
                )

    def factor(self, done: float, total: float, cost: float = 1) -> float:
        """The factor on the peak learning rate.

        Args:
            done: how much of the budget is spent before the step, in its unit. total: the whole budget.
            cost: what the step itself spends.
        """
        warmup = self.length("warmup", total)
        if done < warmup:
            return min((done + cost) / warmup, 1.0)
        return self.after_warmup(done, total, cost)

    def after_warmup(self, done: float, total: float, cost: float = 1) -> float:
        """The factor once the warm-up is over."""
        raise NotImplementedError

    def same_until(self, before: float, after: float) -> float:
        """How much may be spent at most for the rates so far to be those of a budget `after` as of a budget `before`.

        That of a schedule that runs towards the end of the run: the warm-up, if it is as long in both.
        """
        lengths = self.length("warmup", before), self.length("warmup", after)
        return lengths[0] if lengths[0] == lengths[1] else 0.0

    def check(self, budget: Budget) -> None:
        """Raises ConfigError where the phases are not in the budget's unit or do not fit into the run."""
        for phase in self.phases:
            for key, value in self._said(phase).items():
                unit = key.removeprefix(f"{phase}_")
                if unit not in ("share", budget.unit):
                    fitting = f"schedule.{phase}_{budget.unit} or " if budget.unit != "flops" else ""
                    raise ConfigError(
                        f"{value:.12g} does not go with trainer.{budget}; set schedule.{_without(key)} and say "
                        f"{fitting}schedule.{phase}_share",
                        key,
                    )
        warmup = self.length("warmup", budget.limit)
        if warmup > budget.limit:
            tenth = max(int(budget.limit) // 10, 1) if budget.unit == "steps" else f"{budget.limit / 10:.6g}"
            key = f"warmup_{budget.unit}"
            raise ConfigError(
                f"{warmup:.12g} {WORDS[budget.unit]} are more than {budget}; add schedule.{key}={tenth}", key
            )

    def length(self, phase: str, total: float) -> float:
        """How long a phase is, in the unit of the run; 0: there is none."""
        for key, value in self._said(phase).items():
            return value * total if key.endswith("_share") else value
        return 0

    def _said(self, phase: str) -> dict[str, float]:
        """The settings that give a phase a length."""
        keys = [f"{phase}_{unit}" for unit in (*UNITS, "share")]
        return {key: value for key in keys if (value := getattr(self, key, None))}

    def progress(self, done: float, total: float) -> float:
        """How much of the way from the end of the warm-up to the end of the run is done, 0 to 1."""
        warmup = self.length("warmup", total)
        return min((done - warmup) / (total - warmup), 1.0) if total > warmup else 1.0


@dataclass(frozen=True, kw_only=True)
class ConstantConfig(ScheduleConfig, kind="constant"):
    """The peak, for good."""

    def after_warmup(self, done: float, total: float, cost: float = 1) -> float:
        """1."""
        return 1.0

    def same_until(self, before: float, after: float) -> float:
        """For good, where the warm-up is the same."""
        return _for_good(self, before, after)


@dataclass(frozen=True, kw_only=True)
class LinearConfig(ScheduleConfig, kind="linear"):
    """A straight line from the peak to `final` (BERT: to 0)."""

    final: float = setting(0.0, "factor at the end of the run", minimum=0, maximum=1)

    def after_warmup(self, done: float, total: float, cost: float = 1) -> float:
        """Linear in the progress."""
        return 1.0 - (1.0 - self.final) * self.progress(done, total)


@dataclass(frozen=True, kw_only=True)
class CosineConfig(ScheduleConfig, kind="cosine"):
    """Half a cosine from the peak to `final` (Loshchilov & Hutter 2016, arXiv:1608.03983)."""

    final: float = setting(0.1, "factor at the end of the run", minimum=0, maximum=1)

    def after_warmup(self, done: float, total: float, cost: float = 1) -> float:
        """Half a cosine in the progress."""
        return self.final + (1.0 - self.final) * 0.5 * (1.0 + math.cos(math.pi * self.progress(done, total)))


@dataclass(frozen=True, kw_only=True)
class InverseSquareRootConfig(ScheduleConfig, kind="inverse_square_root"):
    """√(warmup / step) after the warm-up (Vaswani et al. 2017, arXiv:1706.03762, equation 3).

    The paper's rate is dim^−½ · min(step^−½, step · warmup^−1.5); its peak is (dim · warmup)^−½, which is what the
    optimizer's `learning_rate` is here. T5's (Raffel et al. 2020, arXiv:1910.10683, section 3.1.2) is
    1/√max(step, 10⁴): it stands at its peak for as long as others rise.
    """

    warmup_steps: int = setting(4000, "steps of linear warm-up; 0: another setting says how long it is", minimum=0)
    rises: bool = setting(True, "whether the rate rises over the warm-up; false: it is at its peak until then (T5)")

    def validate(self) -> None:
        """There must be a warm-up: the rate is measured by it."""
        super().validate()
        if not self._said("warmup"):
            raise ConfigError("0 leaves no warm-up, which the rate is measured by; the paper's is 4000", "warmup_steps")

    def factor(self, done: float, total: float, cost: float = 1) -> float:
        """As of every schedule, or the peak for as long as a warm-up would take."""
        if not self.rises and done < self.length("warmup", total):
            return 1.0
        return super().factor(done, total, cost)

    def after_warmup(self, done: float, total: float, cost: float = 1) -> float:
        """√(warmup / what is spent once the step is done)."""
        return math.sqrt(self.length("warmup", total) / (done + cost))

    def same_until(self, before: float, after: float) -> float:
        """For good, where the warm-up is the same."""
        return _for_good(self, before, after)


@dataclass(frozen=True, kw_only=True)
class WarmupStableDecayConfig(ScheduleConfig, kind="warmup_stable_decay"):
    """Warm-up, plateau, then a decay over the last part of the run (WSD; Hu et al. 2024, arXiv:2404.06395)."""

    decay_share: float | None = setting(0.2, "share of the run that the decay takes", above=0, maximum=1)
    decay_steps: int | None = setting(None, "steps of the decay, with decay_share=null", minimum=1)
    decay_tokens: float | None = setting(None, "tokens of the decay, with decay_share=null", above=0)
    decay_hours: float | None = setting(None, "hours of the decay, with decay_share=null", above=0)
    final: float = setting(0.0, "factor at the end of the run", minimum=0, maximum=1)

    phases: ClassVar[tuple[str, ...]] = ("warmup", "decay")

    def validate(self) -> None:
        """There must be a decay."""
        super().validate()
        if not self._said("decay"):
            raise ConfigError("null leaves no decay; say one, or take schedule.kind=constant", "decay_share")

    def after_warmup(self, done: float, total: float, cost: float = 1) -> float:
        """1, then linear to `final`."""
        decay = self.length("decay", total)
        return 1.0 - (1.0 - self.final) * min(max((done - (total - decay)) / decay, 0.0), 1.0)

    def same_until(self, before: float, after: float) -> float:
        """Until the decay begins in the shorter of the two, where the warm-up is the same."""
        decay = min(total - self.length("decay", total) for total in (before, after))
        return min(_for_good(self, before, after), decay)

    def check(self, budget: Budget) -> None:
        """Warm-up and decay must not overlap."""
        super().check(budget)
        warmup, decay = self.length("warmup", budget.limit), self.length("decay", budget.limit)
        if warmup + decay > budget.limit:
            (key,) = self._said("warmup") or self._said("decay")
            words = WORDS[budget.unit]
            raise ConfigError(
                f"a warm-up of {warmup:.12g} and a decay of {decay:.12g} {words} overlap in {budget}; shorten one", key
            )


def _default(schedule: ScheduleConfig, key: str) -> Any:
    return type(schedule).__dataclass_fields__[key].default


def _without(key: str) -> str:
    """The setting that takes a length back."""
    return f"{key}=0" if key == "warmup_steps" else f"{key}=null"


def _for_good(schedule: ScheduleConfig, before: float, after: float) -> float:
    """What `same_until` is for a schedule that does not know where the run ends, once its warm-up is over."""
    same = schedule.length("warmup", before) == schedule.length("warmup", after)
    return math.inf if same else 0.0


class Course(NamedTuple):
    """A schedule over the budget of a run."""

    schedule: ScheduleConfig
    budget: Budget

    def factor(self, spent: Spent, step: Spent) -> float:
        """The factor on the peak learning rate of a step.

        Args:
            spent: before it. step: what it spends itself.
        """
        unit: Unit = self.budget.unit
        return self.schedule.factor(spent.of(unit), self.budget.limit, step.of(unit))
