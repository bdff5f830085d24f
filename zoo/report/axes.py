"""Axes: from numbers to places between 0 and 1, and the round numbers that stand beside them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from zoo.quantity import duration, short_number

ROUND = (1, 2, 2.5, 5, 10)
MINUTE, HOUR, DAY = 60, 3600, 86400
ROUND_TIMES = (
    *(1, 2, 5, 10, 15, 30),
    *(MINUTE * count for count in (1, 2, 5, 10, 15, 30)),
    *(HOUR * count for count in (1, 2, 3, 6, 12)),
    *(DAY * count for count in (1, 2, 5, 10, 20, 50, 100, 200, 500)),
)
"""Seconds between the marks of a time axis."""


class Axis(NamedTuple):
    """A range of numbers and how it is laid out.

    Attributes:
        low, high: its ends. log: whether equal ratios are equal distances.
        ticks: (number, how it is written), ascending, all within the ends.
    """

    low: float
    high: float
    log: bool
    ticks: tuple[tuple[float, str], ...]

    def place(self, numbers: np.ndarray | float) -> np.ndarray:
        """Where numbers stand, 0 at the low end and 1 at the high one; beyond the ends, at the end."""
        values = np.asarray(numbers, dtype=float)
        low, high = self.low, self.high
        if self.log:
            values, low, high = np.log(np.maximum(values, self.low)), math.log(low), math.log(high)
        return np.clip((values - low) / (high - low), 0.0, 1.0)


def linear_axis(low: float, high: float, *, ticks: int = 5, spell: Callable[[float], str] | None = None) -> Axis:
    """An axis with about so many round marks; a range of no width is widened.

    Args:
        low, high: what it must hold.
        ticks: marks to aim at.
        spell: how a mark is written; None: with as many digits as the marks need.
    """
    if high <= low:
        width = abs(low) * 0.1 or 1.0
        low, high = low - width / 2, high + width / 2
    step = _round_step((high - low) / ticks)
    digits = max(0, -math.floor(math.log10(step) + 1e-9) + (1 if f"{step:.1e}".startswith("2.5") else 0))
    marks = np.arange(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1) * step
    words = spell or (lambda mark: plain(mark, digits) if step < 1000 and digits < 4 else _short(mark))
    return Axis(low, high, False, tuple((float(mark), words(float(mark))) for mark in marks))


def log_axis(low: float, high: float, *, spell: Callable[[float], str] = short_number) -> Axis:
    """A logarithmic axis over positive numbers, marks at powers of ten, and between them where those are few."""
    if high <= low:
        low, high = low / 2, high * 2
    decades = math.log10(high / low)
    within = (1, 2, 5) if decades < 2.5 else (1, 3) if decades < 4 else (1,)
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    every = max(1, math.ceil(decades / 7))
    marks = [factor * 10.0**exponent for exponent in exponents[::every] for factor in within]
    return Axis(low, high, True, tuple((m, spell(m)) for m in marks if low * (1 - 1e-9) <= m <= high * (1 + 1e-9)))


def time_axis(low: float, high: float, log: bool = False) -> Axis:
    """An axis in seconds, marked with round times."""
    if log:
        within = [time for time in ROUND_TIMES if low <= time <= high]
        every = max(1, math.ceil(len(within) / 7))
        axis = log_axis(low, high, spell=duration)
        return axis._replace(ticks=tuple((float(time), duration(time)) for time in within[::every])) if within else axis
    width = max(high - low, 1e-9)
    step = next((time for time in ROUND_TIMES if width / time <= 6), None)
    if step is None or width < 3:
        return linear_axis(low, high, spell=duration)
    marks = np.arange(math.ceil(low / step), math.floor(high / step) + 1) * step
    return Axis(low, high, False, tuple((float(mark), duration(float(mark))) for mark in marks))


def plain(number: float, digits: int) -> str:
    """A number with so many digits behind the point, and a real minus sign."""
    return f"{number + 0.0:,.{digits}f}".replace("-", "\N{MINUS SIGN}")


def _short(number: float) -> str:
    """12000 → 12k, 0.00025 → 2.5e−4."""
    if number == 0 or abs(number) >= 1:
        return short_number(number)
    factor, _, exponent = f"{number:.1e}".partition("e")
    return f"{float(factor):g}e{int(exponent)}".replace("-", "\N{MINUS SIGN}")


def _round_step(step: float) -> float:
    power = 10.0 ** math.floor(math.log10(step))
    return power * next(factor for factor in ROUND if step <= factor * power * (1 + 1e-9))
