"""Draws from several things in turn, each as often as its share says, spread as evenly as it goes.

A cycle has a fixed number of draws. Of it each thing gets its share, rounded by largest remainder; its j-th draw of n
stands at the place (j + ½)/n of the cycle, and all draws are sorted by place. So every stretch of draws has the shares
up to about one draw for each thing, and which draw of which thing stands where is a look-up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from zoo.data.rows import Integers


class Cycle(NamedTuple):
    """A cycle of C draws from n things.

    Attributes:
        counts: (n,) int64, draws of each thing in a cycle.
        chosen: (C,) int64, which thing each draw is of.
        before: (C,) int64, how many draws of the same thing come before it in the cycle.
    """

    counts: Integers
    chosen: Integers
    before: Integers


def whole_parts(shares: Sequence[float], total: int) -> Integers:
    """(n,) int64: `total` divided by shares (which need not add up to 1), by largest remainder."""
    weights = np.asarray(shares, np.float64)
    exact = weights / weights.sum() * total
    parts = np.floor(exact).astype(np.int64)
    missing = total - int(parts.sum())
    parts[np.argsort(parts - exact, kind="stable")[:missing]] += 1
    return parts


def evenly_spread(shares: Sequence[float], length: int) -> Cycle:
    """A cycle of `length` draws."""
    counts = whole_parts(shares, length)
    thing = np.repeat(np.arange(len(counts)), counts)
    number = np.arange(length) - np.repeat(np.cumsum(counts) - counts, counts)
    order = np.argsort((number + 0.5) / counts[thing], kind="stable")
    return Cycle(counts, thing[order], number[order])
