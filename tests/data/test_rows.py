"""The one check that all row makers share."""

import pickle

import pytest

from zoo.data.rows import TooShortError, refuse_short
from zoo.errors import DataError


def test_text_shorter_than_a_row() -> None:
    refuse_short(8, 8)
    with pytest.raises(DataError, match=r"7 tokens but one row needs 8.*max_length"):
        refuse_short(7, 8)


def test_the_error_crosses_processes_with_its_numbers() -> None:
    error = TooShortError(7, 8, "web")
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.num_tokens, copy.width, copy.source) == (str(error), 7, 8, "web")
    assert str(error).startswith("source web: the text has 7 tokens")
