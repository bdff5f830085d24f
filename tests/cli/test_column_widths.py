"""Widths of columns: words stay whole as long as that is possible at all."""

import pytest

from zoo.cli.column_widths import fitted_widths, kept_columns, longest_word

NAMES = ["name", "transformer-base", "bert"]
WORDS = ["what it is", "one two three four five six seven eight", "nine ten"]


def test_what_fits_is_as_wide_as_it_is() -> None:
    assert fitted_widths([NAMES, WORDS], 80, 3) == [16, 39]


@pytest.mark.parametrize("room", range(24, 58))
def test_lines_break_between_words(room: int) -> None:
    names, words = fitted_widths([NAMES, WORDS], room, 3)
    assert names == 16
    assert longest_word(WORDS) <= words
    assert words == min(39, room - 3 - 16)


@pytest.mark.parametrize("room", range(5, 24))
def test_words_are_broken_where_there_is_no_other_way(room: int) -> None:
    widths = fitted_widths([NAMES, WORDS], room, 3)
    assert sum(widths) + 3 <= room
    assert min(widths) >= 1


def test_wide_characters_take_two_columns() -> None:
    assert fitted_widths([["日本語"]], 80, 3) == [6]


def test_columns_go_in_their_order_and_no_more_than_needed() -> None:
    needed = [10, 20, 30]
    assert kept_columns(needed, [2, 1], 66, 3) == [0, 1, 2]
    assert kept_columns(needed, [2, 1], 65, 3) == [0, 1]
    assert kept_columns(needed, [2, 1], 32, 3) == [0]
    assert kept_columns(needed, [], 5, 3) == [0, 1, 2]
