"""Best fit decreasing: the rooms are never overfull, and the rows are those of the plain algorithm."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo.data.best_fit import best_fit


def plain_best_fit(sizes: list[int], capacity: int) -> list[list[int]]:
    """The textbook: each piece, largest first, into the fullest row that holds it."""
    rows: list[list[int]] = []
    for size in sorted(sizes, reverse=True):
        fitting = [row for row in rows if sum(row) + size <= capacity]
        if fitting:
            max(fitting, key=sum).append(size)
        else:
            rows.append([size])
    return rows


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(1, 20), min_size=1, max_size=60), st.integers(20, 40))
def test_equals_the_textbook(sizes: list[int], capacity: int) -> None:
    rows = best_fit(np.array(sizes, np.int64), capacity)
    filled = np.bincount(rows, weights=sizes)
    assert (filled > 0).all(), "row numbers have no gaps"
    # Which of two equally full rows takes a piece is a matter of taste; how full the rows get is not.
    assert sorted(filled) == sorted(sum(row) for row in plain_best_fit(sizes, capacity))


def test_a_million_pieces_are_packed_densely() -> None:
    sizes = np.random.default_rng(0).integers(1, 512, 1_000_000)
    rows = best_fit(sizes, 512)
    filled = np.bincount(rows, weights=sizes)
    assert filled.max() <= 512
    assert sizes.sum() / (512 * len(filled)) > 0.99
    assert np.array_equal(rows, best_fit(sizes, 512))
