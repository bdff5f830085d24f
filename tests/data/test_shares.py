"""Draws by share, spread evenly."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoo.data.shares import evenly_spread, whole_parts

SHARES = st.lists(st.floats(0.01, 100), min_size=1, max_size=8)


@given(SHARES, st.integers(1, 5000))
def test_whole_parts_add_up_and_are_off_by_less_than_one(shares: list[float], total: int) -> None:
    parts = whole_parts(shares, total)
    assert parts.sum() == total
    assert (np.abs(parts - np.asarray(shares) / sum(shares) * total) < 1).all()


@given(SHARES, st.integers(1, 3000))
def test_every_stretch_of_draws_has_the_shares(shares: list[float], length: int) -> None:
    counts, chosen, _ = evenly_spread(shares, length)
    assert np.array_equal(np.bincount(chosen, minlength=len(counts)), counts)
    drawn = np.cumsum(chosen[:, None] == np.arange(len(counts)), axis=0)
    wanted = np.arange(1, length + 1)[:, None] * counts / length
    assert np.abs(drawn - wanted).max() <= max(1, len(shares) - 1)


def test_which_draw_of_its_thing_each_one_is() -> None:
    _, chosen, before = evenly_spread([3, 1, 2], 60)
    for place, thing in enumerate(chosen):
        assert before[place] == (chosen[:place] == thing).sum()


@pytest.mark.parametrize("shares, expected", [([1, 1], [0, 1, 0, 1, 0, 1]), ([2, 1], [0, 1, 0, 0, 1, 0])])
def test_small_cycles(shares: list[float], expected: list[int]) -> None:
    assert evenly_spread(shares, 6).chosen.tolist() == expected
