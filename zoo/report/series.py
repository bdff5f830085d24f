"""Curves before they are drawn: smoothed, and thinned to as many points as a screen can show."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np

MOST_POINTS = 400
"""Points of a curve that are drawn."""
FEWEST_TO_SMOOTH = 30
"""Points below which a curve is shown as it is."""
SMOOTHING = 30
"""A smoothed curve looks back over one part of so many of its points,"""
EARLY = 0.2
"""but never over more than this share of the points so far."""


class Series(NamedTuple):
    """One quantity over a run.

    Attributes:
        label: what it is. color: number of its colour.
        x: axis ("steps", "tokens", "time" in seconds) → (n,) ascending. y: (n,) finite.
        dots: whether its points are marked, for what was measured now and then.
    """

    label: str
    color: int
    x: dict[str, np.ndarray]
    y: np.ndarray
    dots: bool = False

    def only(self, indices: np.ndarray) -> Series:
        """The series at some of its points."""
        return self._replace(x={axis: values[indices] for axis, values in self.x.items()}, y=self.y[indices])


def smooth(values: np.ndarray) -> np.ndarray | None:
    """(n,) exponential mean of what came before; None where there is little to smooth.

    It looks back less at the start, where a loss falls so fast that a mean would lag behind.

    Args:
        values: (n,) finite.
    """
    if len(values) < FEWEST_TO_SMOOTH:
        return None
    windows = np.minimum(1 + np.arange(len(values)) * EARLY, max(len(values) / SMOOTHING, 3))
    smoothed = np.empty(len(values))
    mean = values[0]
    for index, (value, window) in enumerate(zip(values, windows, strict=True)):
        mean += 2 / (window + 1) * (value - mean)
        smoothed[index] = mean
    return smoothed


def thin(values: np.ndarray, most: int = MOST_POINTS) -> np.ndarray:
    """Indices of the points that are drawn: of each stretch the lowest and the highest, so that no spike is lost.

    Args:
        values: (n,) finite.
        most: how many, at most, but for the two ends.
    """
    if len(values) <= most:
        return np.arange(len(values))
    borders = np.linspace(0, len(values), most // 2 + 1).astype(int)
    found = {0, len(values) - 1}
    for start, stop in itertools.pairwise(borders):
        stretch = values[start:stop]
        found |= {start + int(stretch.argmin()), start + int(stretch.argmax())}
    return np.array(sorted(found))
