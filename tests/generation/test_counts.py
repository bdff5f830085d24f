"""What is no count is refused by its name."""

import numpy as np
import pytest

from zoo.errors import ConfigError
from zoo.generation.counts import check_count


@pytest.mark.parametrize("value", [0, -3, 1.5, 2.0, True, "4", None, float("nan")])
def test_what_is_no_count_is_refused(value: object) -> None:
    with pytest.raises(ConfigError, match="at least 1 and a whole number") as caught:
        check_count(value, "max_new_tokens")
    assert caught.value.key == "max_new_tokens"
    assert repr(value) in str(caught.value)


def test_counts_are_taken() -> None:
    for value in (1, 7, np.int64(3)):
        check_count(value, "max_new_tokens")
