"""Counted words are the text's, in an order of their own."""

import pytest

from zoo.errors import DataError
from zoo.tokenizer.counting import count_characters, count_words, frequent, repeated, training_text


def test_words_are_counted_with_the_space_before_them() -> None:
    assert count_words(["b a", "a b", " a"]) == {" a": 3, " b": 2}


def test_repeating_counted_words_keeps_the_counts() -> None:
    counted = {" a": 10_000, " b": 1}
    assert count_words(repeated(counted)) == counted


def test_training_text_stops_at_the_limit_and_reports_what_it_read() -> None:
    seen: list[int] = []
    assert list(training_text(["abc", "def", "ghi"], 5, seen.append)) == ["abc", "de"]
    assert seen == [3, 2]


def test_no_text_is_an_error() -> None:
    with pytest.raises(DataError, match="no text to train"):
        list(training_text(["", ""]))


def test_frequent_keeps_the_fewest_characters_that_cover() -> None:
    counts = count_characters({" ab": 90, " c": 9, " d": 1}, lambda one: one.strip().upper())
    assert counts == {"A": 90, "B": 90, "C": 9, "D": 1}
    assert frequent(counts, 0.9) == ["A", "B"]
    assert frequent(counts, 1) == ["A", "B", "C", "D"]
