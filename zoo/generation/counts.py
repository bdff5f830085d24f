"""Counts and texts that a caller gives beside a config: they are judged as a config judges its own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from numbers import Integral

from zoo.errors import Collected, ConfigError, DataError, TextError, quoted


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
    texts, wrong = list(given), Collected()
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            wrong.add(f"{quoted(text)} is not a text", f"{name}.{number}")
    wrong.raise_any()
    return texts


class TextFaults:
    """What is wrong with several texts, to be raised together and by their numbers; with a single one, at once.

    Args:
        count: how many texts there are.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._errors: list[TextError] = []

    @contextlib.contextmanager
    def of(self, number: int) -> Iterator[None]:
        """A block about the text of this number, which may raise DataError."""
        try:
            yield
        except DataError as error:
            told = error if isinstance(error, TextError) else TextError(str(error))
            if self._count == 1:
                raise told from None
            self._errors.append(told.of(number))

    def raise_any(self) -> None:
        """Raises one TextError with all that is wrong, if anything is."""
        if self._errors:
            first, *others = self._errors
            raise TextError(first.reason, first.number, others) if others else first
