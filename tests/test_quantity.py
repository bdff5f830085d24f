"""Quantities as people read them."""

import pytest

from zoo.quantity import duration, short_number


@pytest.mark.parametrize(
    "number, words",
    [
        (0, "0"),
        (7.2, "7.2"),
        (999, "999"),
        (1000, "1k"),
        (12_345, "12.3k"),
        (4.5e6, "4.5M"),
        (1.2e9, "1.2G"),
        (3e12, "3T"),
    ],
)
def test_short_number(number: float, words: str) -> None:
    assert short_number(number) == words


@pytest.mark.parametrize(
    "seconds, words",
    [
        (0, "0 s"),
        (4.27, "4.3 s"),
        (12.4, "12 s"),
        (59.7, "1 min"),
        (95.2, "1 min 35 s"),
        (119.6, "2 min"),
        (3599.9, "1 h"),
        (3723, "1 h 2 min"),
        (7200, "2 h"),
        (90000, "1 d 1 h"),
        (864000, "10 d"),
    ],
)
def test_duration(seconds: float, words: str) -> None:
    assert duration(seconds) == words
