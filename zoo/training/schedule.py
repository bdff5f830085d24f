"""Learning-rate schedules: pure functions of the step, so that there is no state to save.

Each gives the factor on the peak learning rate. All warm up linearly over `warmup_steps`: the first step already moves.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from zoo.config import Config, setting
from zoo.errors import ConfigError
from zoo.registry import Choice


@dataclass(frozen=True, kw_only=True)
class ScheduleConfig(Config, Choice, noun="schedule"):
    """How the learning rate moves over the run."""

    warmup_steps: int = setting(0, "steps of linear warm-up", minimum=0)

    def factor(self, step: int, max_steps: int) -> float:
        """The factor on the peak learning rate at a step (from 0) of a run of `max_steps`."""
        if step < self.warmup_steps:
            return (step + 1) / self.warmup_steps
        return self.after_warmup(step, max_steps)

    def after_warmup(self, step: int, max_steps: int) -> float:
        """The factor at a step that is not below `warmup_steps`."""
        raise NotImplementedError

    def check(self, max_steps: int) -> None:
        """Raises ConfigError where the phases do not fit into the run."""
        if self.warmup_steps > max_steps:
            tenth = max(max_steps // 10, 1)
            raise ConfigError(
                f"{self.warmup_steps} steps are more than max_steps={max_steps}; add schedule.warmup_steps={tenth}",
                "warmup_steps",
            )

    def progress(self, step: int, max_steps: int) -> float:
        """How much of the way from the end of the warm-up to the end of the run is done, 0 to 1."""
        return min((step - self.warmup_steps) / max(max_steps - self.warmup_steps, 1), 1.0)


@dataclass(frozen=True, kw_only=True)
class ConstantConfig(ScheduleConfig, kind="constant"):
    """The peak, for good."""

    def after_warmup(self, step: int, max_steps: int) -> float:
        """1."""
        return 1.0


@dataclass(frozen=True, kw_only=True)
class LinearConfig(ScheduleConfig, kind="linear"):
    """A straight line from the peak to `final` (BERT: to 0)."""

    final: float = setting(0.0, "factor at the end of the run", minimum=0, maximum=1)

    def after_warmup(self, step: int, max_steps: int) -> float:
        """Linear in the progress."""
        return 1.0 - (1.0 - self.final) * self.progress(step, max_steps)


@dataclass(frozen=True, kw_only=True)
class CosineConfig(ScheduleConfig, kind="cosine"):
    """Half a cosine from the peak to `final` (Loshchilov & Hutter 2016, arXiv:1608.03983)."""

    final: float = setting(0.1, "factor at the end of the run", minimum=0, maximum=1)

    def after_warmup(self, step: int, max_steps: int) -> float:
        """Half a cosine in the progress."""
        return self.final + (1.0 - self.final) * 0.5 * (1.0 + math.cos(math.pi * self.progress(step, max_steps)))


@dataclass(frozen=True, kw_only=True)
class InverseSquareRootConfig(ScheduleConfig, kind="inverse_square_root"):
    """√(warmup / step) after the warm-up (Vaswani et al. 2017, arXiv:1706.03762, equation 3).

    The paper's rate is dim^−½ · min(step^−½, step · warmup^−1.5); its peak is (dim · warmup)^−½, which is what the
    optimizer's `learning_rate` is here.
    """

    warmup_steps: int = setting(4000, "steps of linear warm-up", minimum=1)

    def after_warmup(self, step: int, max_steps: int) -> float:
        """√(warmup / steps done)."""
        return math.sqrt(self.warmup_steps / (step + 1))


@dataclass(frozen=True, kw_only=True)
class WarmupStableDecayConfig(ScheduleConfig, kind="warmup_stable_decay"):
    """Warm-up, plateau, then a decay over the last part of the run (WSD; Hu et al. 2024, arXiv:2404.06395)."""

    decay_share: float = setting(0.2, "share of the run that the decay takes", above=0, maximum=1)
    final: float = setting(0.0, "factor at the end of the run", minimum=0, maximum=1)

    def after_warmup(self, step: int, max_steps: int) -> float:
        """1, then linear to `final`."""
        decay_steps = self.decay_share * max_steps
        return 1.0 - (1.0 - self.final) * min(max((step - (max_steps - decay_steps)) / decay_steps, 0.0), 1.0)

    def check(self, max_steps: int) -> None:
        """Warm-up and decay must not overlap."""
        super().check(max_steps)
        if self.warmup_steps + self.decay_share * max_steps > max_steps:
            raise ConfigError(
                f"{self.warmup_steps} steps of warm-up and a decay over {self.decay_share:g} of max_steps={max_steps} "
                "overlap; shorten one",
                "warmup_steps",
            )
