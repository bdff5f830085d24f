"""Quantities as people read them: 12345 → 12.3k, 3723 seconds → 1 h 2 min."""

from __future__ import annotations

STEPS = ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s"))
"""Units of time, largest first: (seconds of it, its sign, seconds of the one below, its sign)."""


def short_number(number: float) -> str:
    """12345 → 12.3k."""
    for limit, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= limit:
            return f"{number / limit:.3g}{letter}"
    return f"{number:.3g}"


def duration(seconds: float) -> str:
    """3723 → 1 h 2 min, 95.2 → 1 min 35 s, 4.27 → 4.3 s: the two largest units, the smaller left out where it is 0."""
    if seconds < 59.5:
        return f"{seconds:.2g} s" if seconds < 9.95 else f"{seconds:.0f} s"
    size, sign, below, sign_below = next(unit for unit in STEPS if round(seconds / unit[2]) * unit[2] >= unit[0])
    large, small = divmod(round(seconds / below), size // below)
    return f"{large} {sign}" + (f" {small} {sign_below}" if small else "")
