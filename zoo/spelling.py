"""How a sentence calls an option: as Python has it, `num_beams=4`, or as whoever reads it typed it, `--num-beams 4`.

A sentence asks while it is made, so nothing looks for names in it afterwards, and what it quotes stays as it is.
"""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any

_AS_IN_PYTHON: Mapping[str, str] = MappingProxyType({})
_TYPED: ContextVar[Mapping[str, str]] = ContextVar("options as they are typed", default=_AS_IN_PYTHON)
_NO_VALUE: Any = object()


@contextlib.contextmanager
def spelled(options: Mapping[str, str]) -> Iterator[None]:
    """Inside, sentences call these options as they are typed.

    Args:
        options: Python name → what is typed, for example {"num_beams": "--num-beams"}. What it lacks keeps its Python
            name; with {} all do, which is for settings of a file and key=value, whose names may be those of options.
    """
    before = _TYPED.set(options)
    try:
        yield
    finally:
        _TYPED.reset(before)


def named(name: str, value: object = _NO_VALUE) -> str:
    """An option, and a value that it has or should get, for a sentence."""
    typed = _TYPED.get().get(name)
    if value is _NO_VALUE:
        return typed or name
    return f"{name}={value!r}" if typed is None else f"{typed} {shlex.quote(str(value))}"


def named_key(key: str) -> str:
    """The dotted path of a setting: where it begins with an option as it is typed, and the numbers of its entries."""
    name, *entry = key.split(".")
    typed = _TYPED.get().get(name)
    return key if typed is None else typed + "".join(f"[{part}]" for part in entry)
