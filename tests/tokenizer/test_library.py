"""What goes wrong in the library is a DataError; what does not concern it passes."""

import pytest

from zoo.errors import ConfigError, DataError
from zoo.tokenizer.library import guarded


class Panic(BaseException):
    """As the library's panics: no Exception."""


@pytest.mark.parametrize("error", [ValueError("broken"), Panic("index out of\nbounds")])
def test_failures_become_ours(error: BaseException) -> None:
    with pytest.raises(DataError, match=r"cannot open it: (broken|index out of bounds)"), guarded("open it", DataError):
        raise error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1), ConfigError("no", "vocab_size")])
def test_interrupts_and_our_own_errors_pass(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught, guarded("open it", DataError):
        raise error
    assert caught.value is error
