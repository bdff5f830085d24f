"""Counts that a caller gives beside a config: they are judged as a config judges its own."""

from __future__ import annotations

from numbers import Integral

from zoo.errors import ConfigError


def check_count(value: object, name: str) -> None:
    """Raises ConfigError with the name where a value is no whole number of at least 1, as true and 2.0 are not."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
        raise ConfigError(f"{value!r} must be at least 1 and a whole number", name)
