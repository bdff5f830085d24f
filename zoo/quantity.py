"""Quantities as people read them: 12345 → 12.3k, 3723 seconds → 1 h 2 min."""

from __future__ import annotations

LETTERS = ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
"""Powers of 1000, largest first: (the power, its letter)."""
STEPS = ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s"))
"""Units of time, largest first: (seconds of it, its sign, seconds of the one below, its sign)."""


def short_number(number: float) -> str:
    """12345 → 12.3k: three digits and the letter of a power of 1000, up to E; plain decimals from 0.0001 on."""
    rounded = float(f"{number:.3g}")  # first, because 999,700 has no letter of its own: it is 1M
    for limit, letter in LETTERS:
        if abs(rounded) >= limit:
            return f"{rounded / limit:.3g}{letter}"
    return f"{rounded:.3g}"


def duration(seconds: float) -> str:
    """3723 → 1 h 2 min, 95.2 → 1 min 35 s, 4.27 → 4.3 s: the two largest units, the smaller left out where it is 0."""
    if seconds < 59.5:
        return f"{seconds:.2g} s" if seconds < 9.95 else f"{seconds:.0f} s"
    size, sign, below, sign_below = next(unit for unit in STEPS if round(seconds / unit[2]) * unit[2] >= unit[0])
    large, small = divmod(round(seconds / below), size // below)
    return f"{large} {sign}" + (f" {small} {sign_below}" if small else "")
