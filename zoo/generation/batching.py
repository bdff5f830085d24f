"""Rows of unequal length in batches of about equal size, so that little is computed for padding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

BATCH_TOKENS = 2048
"""Places of a batch at most, padding counted, where a row does not have more by itself."""


def batches_by_length(lengths: Sequence[int], budget: int = BATCH_TOKENS) -> Iterator[list[int]]:
    """Numbers of rows, batch by batch, the longest first: each number once.

    Args:
        lengths: tokens of each row.
        budget: places of a batch, as many rows as fit into it at the length of the longest.
    """
    order = sorted(range(len(lengths)), key=lambda number: -lengths[number])
    start = 0
    while start < len(order):
        count = max(1, budget // max(1, lengths[order[start]]))
        yield order[start : start + count]
        start += count
