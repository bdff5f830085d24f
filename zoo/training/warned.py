"""Warnings once: what a library says at every step is said at the first, and counted from there."""

from __future__ import annotations

import contextlib
import re
import warnings
from collections import Counter
from collections.abc import Iterator
from typing import Any

_NUMBER = re.compile(r"\d+")


@contextlib.contextmanager
def warned_once() -> Iterator[None]:
    """Inside, a warning that differs from an earlier one in its numbers only is not shown; the end tells how many.

    Python shows a warning once for each place that it comes from, but forgets what it has shown whenever anybody
    changes a filter, which libraries do at every step.
    """
    show, seen, first = warnings.showwarning, Counter[tuple[type[Warning], str]](), {}

    def once(message: Warning | str, category: type[Warning], *place: Any, **rest: Any) -> None:
        key = (category, _NUMBER.sub("0", str(message)))
        seen[key] += 1
        if seen[key] == 1:
            first[key] = (message, place)
            show(message, category, *place, **rest)

    warnings.showwarning = once
    try:
        yield
    finally:
        warnings.showwarning = show
        for key, count in seen.items():
            if count > 1:
                message, place = first[key]
                times = "once" if count == 2 else f"{count - 1} times"
                show(UserWarning(f"the same came {times} more: {message}"), UserWarning, *place)
