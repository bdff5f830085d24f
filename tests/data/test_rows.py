"""The one check that all row makers share."""

import pytest

from zoo.data.rows import refuse_short
from zoo.errors import DataError


def test_text_shorter_than_a_row() -> None:
    refuse_short(8, 8)
    with pytest.raises(DataError, match=r"7 tokens but one row needs 8.*max_length"):
        refuse_short(7, 8)
