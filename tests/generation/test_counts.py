"""What is no count is refused by its name."""

import numpy as np
import pytest

from zoo.errors import ConfigError, DataError, TextError
from zoo.generation.counts import check_count, of_each


@pytest.mark.parametrize("value", [0, -3, 1.5, 2.0, True, "4", None, float("nan")])
def test_what_is_no_count_is_refused(value: object) -> None:
    with pytest.raises(ConfigError, match="at least 1 and a whole number") as caught:
        check_count(value, "max_new_tokens")
    assert caught.value.key == "max_new_tokens"
    assert repr(value) in str(caught.value)


def test_counts_are_taken() -> None:
    for value in (1, 7, np.int64(3)):
        check_count(value, "max_new_tokens")


def checked(number: int) -> int:
    if number % 2:
        raise DataError("is too long")
    return -number


def test_what_is_wrong_with_texts_is_told_at_once_and_by_number() -> None:
    assert of_each([0, 2, 4], checked) == [0, -2, -4]
    assert of_each([], checked) == []
    with pytest.raises(TextError, match=r"^2 texts cannot be taken:\n  text 1: is too long;\n  text 3: is too long$"):
        of_each(range(4), checked)
    with pytest.raises(TextError, match=r"^text 1: is too long$") as caught:
        of_each([2, 3], checked)
    assert caught.value.number == 1


def test_a_single_text_has_no_number() -> None:
    with pytest.raises(TextError, match=r"^is too long$") as caught:
        of_each([1], checked)
    assert caught.value.number is None
