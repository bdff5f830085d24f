"""What a config field may hold: does a value fit an annotated type, and how to say what would."""

from __future__ import annotations

import dataclasses
import math
import operator
import sys
import types
import typing
from collections.abc import Mapping
from typing import Any

from zoo.errors import ConfigError, cut, quoted
from zoo.registry import Choice, meant_here


def entry_types(arguments: tuple[Any, ...], length: int) -> tuple[Any, ...]:
    """The type of each entry of a tuple: `tuple[int, ...]` has one for all, `tuple[float, float]` one for each."""
    return arguments[:1] * length if arguments[-1] is Ellipsis else arguments


def check_value(kind: Any, value: Any, metadata: Mapping[str, Any]) -> None:
    """Raises ConfigError where a value does not fit its type or its bounds.

    Args:
        kind: the annotation of the field.
        value: what it would hold.
        metadata: of the field; its `minimum`, `maximum`, `above`, `below` bound numbers and the numbers of a list.
    """
    if not fits_type(kind, value):
        _check_entries(kind, value)
        hint = _meant_list(kind, value) or _meant_word(kind, value)
        raise ConfigError(f"{quoted(value)} is not {describe_type(kind)}{hint}")
    if isinstance(value, tuple):
        for index, entry in enumerate(value):
            try:
                check_value(Any, entry, metadata)
            except ConfigError as error:
                raise error.under(str(index)) from None
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{quoted(value)} is not a finite number")
    if isinstance(value, str) and ("${" in value or value == "???"):
        raise ConfigError(f"{quoted(value)}: interpolation is switched off; write the value itself")
    if isinstance(value, int | float) and not isinstance(value, bool):
        for bound, (holds, words) in _BOUNDS.items():
            limit = metadata.get(bound)
            if limit is not None and not holds(value, limit):
                raise ConfigError(f"{quoted(value)} must be {words} {limit}")


def _check_entries(kind: Any, value: Any) -> None:
    """Raises ConfigError with the number of the entry where some entries of a list are fine and others are not."""
    arms = typing.get_args(kind) if typing.get_origin(kind) in (types.UnionType, typing.Union) else (kind,)
    lists = [typing.get_args(arm) for arm in arms if typing.get_origin(arm) is tuple]
    if len(lists) == 1 and lists[0][-1] is Ellipsis and isinstance(value, tuple):
        wrong = [index for index, entry in enumerate(value) if not fits_type(lists[0][0], entry)]
        if 0 < len(wrong) < len(value):
            told = f"{quoted(value[wrong[0]])} is not {describe_type(lists[0][0])}; wanted: {describe_type(kind)}"
            raise ConfigError(told, str(wrong[0]))


def _meant_list(kind: Any, value: Any) -> str:
    """The hint for one entry that stands where a list of such does; "" for anything else."""
    arguments = typing.get_args(kind)
    if typing.get_origin(kind) is tuple and arguments[-1] is Ellipsis and fits_type(arguments[0], value):
        return f"; write [{cut(str(value))}]"
    return ""


def _meant_word(kind: Any, value: Any) -> str:
    """The hint for a word of others that is called something else here; "" for anything else."""
    meant = meant_here(value, typing.get_args(kind)) if typing.get_origin(kind) is typing.Literal else None
    return f"; did you mean {meant!r}?" if meant else ""


_BOUNDS = {
    "minimum": (operator.ge, "at least"),
    "maximum": (operator.le, "at most"),
    "above": (operator.gt, "above"),
    "below": (operator.lt, "below"),
}


def fits_type(kind: Any, value: Any) -> bool:
    """Whether a value is of an annotated type: no bool for a number, no number for text."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return True
    if origin in (types.UnionType, typing.Union):
        return any(fits_type(argument, value) for argument in arguments)
    if origin is typing.Literal:
        return any(type(value) is type(legal) and value == legal for legal in arguments)
    if origin is dict:
        return isinstance(value, dict) and all(
            fits_type(arguments[0], name) and fits_type(arguments[1], child) for name, child in value.items()
        )
    if origin is tuple:
        if not isinstance(value, tuple) or len(value) != len(entry_types(arguments, len(value))):
            return False
        return all(map(fits_type, entry_types(arguments, len(value)), value))
    if kind is int:
        return type(value) is int
    if kind is float:
        return type(value) is float or (type(value) is int and abs(value) <= sys.float_info.max)
    return isinstance(value, kind)


def describe_type(kind: Any) -> str:
    """What a field takes, in words: "a whole number or null"."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        if bool in arguments and all(typing.get_origin(one) is typing.Literal for one in arguments if one is not bool):
            return f"one of true, false, {', '.join(str(word) for one in arguments for word in typing.get_args(one))}"
        return " or ".join(describe_type(argument) for argument in arguments)
    if origin is typing.Literal:
        return f"one of {', '.join(map(str, arguments))}"
    if origin is tuple:
        length = "" if arguments[-1] is Ellipsis else f" of {len(arguments)}"
        return f"a list{length}, each entry {describe_type(arguments[0])}"
    if origin is dict:
        each = "" if arguments[1] is Any else f", each {describe_type(arguments[1])}"
        return f"a group of named settings{each}"
    if isinstance(kind, type) and issubclass(kind, Choice):
        return (
            f"{'an' if kind.noun[0] in 'aeiou' else 'a'} {kind.noun} (legal kinds: {', '.join(sorted(kind.choices))})"
        )
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return f"a group of settings ({', '.join(field.name for field in dataclasses.fields(kind))})"
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "text", type(None): "null"}
    return words.get(kind, str(kind))


def meant_number(schema: type[Choice], value: Any) -> str:
    """The hint for a number that stands where a choice does: the kind that is a `value` and no more; "" if none is."""
    for kind, choice in schema.choices.items():
        if [field.name for field in dataclasses.fields(choice)] == ["value"] and type(value) in (int, float):
            return f"; did you mean {{kind: {kind}, value: {quoted(value)}}}?"
    return ""
