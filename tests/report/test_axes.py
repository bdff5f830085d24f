"""Axes: places, and round marks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoo.report.axes import linear_axis, log_axis, plain, time_axis

NUMBERS = st.floats(-1e9, 1e9, allow_subnormal=False)


@given(NUMBERS, st.floats(1e-6, 1e9))
def test_linear_marks_are_few_and_inside(low: float, width: float) -> None:
    axis = linear_axis(low, low + width)
    places = [mark for mark, _ in axis.ticks]
    assert len(places) <= 12
    assert all(axis.low - 1e-6 * width <= mark <= axis.high + 1e-6 * width for mark in places)
    assert places == sorted(places)


def test_linear_words() -> None:
    assert [word for _, word in linear_axis(0, 1000).ticks] == ["0", "200", "400", "600", "800", "1,000"]
    assert [word for _, word in linear_axis(0, 30000).ticks][1] == "10k"
    assert [word for _, word in linear_axis(2.1, 3.1).ticks] == ["2.2", "2.4", "2.6", "2.8", "3.0"]
    assert [word for _, word in linear_axis(0, 1e-3).ticks][:3] == ["0", "2e\N{MINUS SIGN}4", "4e\N{MINUS SIGN}4"]
    assert [word for _, word in linear_axis(0, 1.2).ticks][1] == "0.25"
    assert "\N{MINUS SIGN}" in linear_axis(-5, 5).ticks[0][1]


@given(st.floats(1e-9, 1e6), st.floats(1.5, 1e9))
def test_log_marks_are_few_and_inside(low: float, ratio: float) -> None:
    axis = log_axis(low, low * ratio)
    assert len(axis.ticks) <= 14
    assert all(axis.low * 0.999 <= mark <= axis.high * 1.001 for mark, _ in axis.ticks)


@pytest.mark.parametrize("axis", [linear_axis(2, 10), log_axis(2, 10), time_axis(2, 10)])
def test_places_grow_from_end_to_end(axis) -> None:
    places = axis.place(np.array([1.0, 2.0, 5.0, 10.0, 99.0]))
    assert places.tolist()[0] == places.tolist()[1] == 0.0
    assert places.tolist()[3] == places.tolist()[4] == 1.0
    assert 0 < places[2] < 1


def test_equal_ratios_are_equal_distances() -> None:
    places = log_axis(1, 10000).place(np.array([1.0, 10.0, 100.0, 1000.0, 10000.0]))
    np.testing.assert_allclose(np.diff(places), 0.25)


@pytest.mark.parametrize("number", [0.0, 5.0, -3.0])
def test_range_of_no_width(number: float) -> None:
    axis = linear_axis(number, number)
    assert axis.low < axis.high
    assert 0 < float(axis.place(number)) < 1


def test_round_times() -> None:
    assert [word for _, word in time_axis(0, 600).ticks] == ["0 s", "2 min", "4 min", "6 min", "8 min", "10 min"]
    assert [word for _, word in time_axis(0, 86400).ticks][1] == "6 h"
    assert time_axis(0, 0.5).ticks
    assert 1 < len(time_axis(1, 90000, log=True).ticks) <= 8


def test_plain() -> None:
    assert (plain(1234.5, 1), plain(-0.0, 0), plain(-2.0, 1)) == ("1,234.5", "0", "\N{MINUS SIGN}2.0")
