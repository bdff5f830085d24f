"""Quantities as people read them."""

import random
import re

import pytest

from zoo.quantity import LETTERS, duration, short_number


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
        (2e15, "2P"),
        (999.4, "999"),
        (999.7, "1k"),
        (999_999, "1M"),
        (999_949_999_999, "1T"),
        (-12_345, "-12.3k"),
    ],
)
def test_short_number(number: float, words: str) -> None:
    assert short_number(number) == words


def read(words: str) -> float:
    """The number that a person reads."""
    powers = {letter: power for power, letter in LETTERS}
    return float(words[:-1]) * powers[words[-1]] if words[-1] in powers else float(words)


def test_short_number_at_any_magnitude() -> None:
    draw = random.Random(0)
    numbers = [10 ** draw.uniform(-4, 20.9) for _ in range(5_000)]
    numbers += [10**power * near for power in range(-3, 21) for near in (0.9994, 0.9996, 0.999999, 1, 1.004)]
    numbers.sort()
    words = [short_number(number) for number in numbers]
    assert all(re.fullmatch(r"[0-9.]{1,8}[kMGTPE]?", each) for each in words)  # and no "e+03"
    seen = [read(each) for each in words]
    assert seen == pytest.approx(numbers, rel=0.0051)
    assert seen == sorted(seen)
    assert all(1 <= float(each[:-1]) < 1000 for each in words if each[-1].isalpha())
    assert [short_number(-number) for number in numbers] == [f"-{each}" for each in words]


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
