"""Counts and texts that a caller gives beside a config: they are judged as a config judges its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from numbers import Integral
from typing import TypeVar

import numpy as np

from zoo.errors import Collected, ConfigError, DataError, TextError, quoted

Text = TypeVar("Text")
Made = TypeVar("Made")


def check_count(value: object, name: str) -> None:
    """Raises ConfigError with the name where a value is no whole number of at least 1, as true and 2.0 are not."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
        raise ConfigError(f"{value!r} must be at least 1 and a whole number", name)


def check_flag(value: object, name: str) -> None:
    """Raises ConfigError with the name where a value is neither true nor false, as "no" and 0 are not."""
    if not isinstance(value, bool | np.bool_):
        raise ConfigError(f"{quoted(value)} must be True or False", name)


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


def of_each(texts: Iterable[Text], work: Callable[[Text], Made]) -> list[Made]:
    """What the work makes of each text; what is wrong with them, which is a DataError, is told of all at once.

    Raises:
        TextError: of one text, or of several by their numbers.
    """
    texts, made, errors = list(texts), [], []
    for number, text in enumerate(texts):
        try:
            made.append(work(text))
        except DataError as error:
            told = error if isinstance(error, TextError) else TextError(str(error))
            if len(texts) == 1:
                raise told from None
            errors.append(told.of(number))
    if errors:
        first, *others = errors
        raise TextError(first.reason, first.number, others) if others else first
    return made
