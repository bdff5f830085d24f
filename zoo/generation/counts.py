"""Counts and texts that a caller gives beside a config: they are judged as a config judges its own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from numbers import Integral

from zoo.errors import ConfigError, DataError, TextError, quoted


def check_count(value: object, name: str) -> None:
    """Raises ConfigError with the name where a value is no whole number of at least 1, as true and 2.0 are not."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
        raise ConfigError(f"{value!r} must be at least 1 and a whole number", name)


def as_texts(given: object, name: str) -> list[str]:
    """One text, or several, as a list; raises ConfigError with the name where it is neither."""
    if isinstance(given, str):
        return [given]
    if not isinstance(given, Iterable) or isinstance(given, bytes):
        raise ConfigError(f"{quoted(given)} is neither a text nor a list of texts", name)
    texts = list(given)
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            raise ConfigError(f"{quoted(text)} is not a text", f"{name}.{number}")
    return texts


@contextlib.contextmanager
def of_text(number: int, count: int) -> Iterator[None]:
    """What is wrong with one of several texts is told with its number; `count` is how many there are."""
    try:
        yield
    except DataError as error:
        told = error if isinstance(error, TextError) else TextError(str(error))
        raise (told.of(number) if count > 1 and told.number is None else told) from None
