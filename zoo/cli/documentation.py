"""What each key of a config means, which values are legal, and its default."""

from __future__ import annotations

import dataclasses
import functools
import textwrap
import types
import typing
from collections.abc import Iterable, Iterator
from typing import Any

from zoo.cli.screen import written
from zoo.config import Config, to_mapping
from zoo.registry import Choice

WORDS = {int: "whole number", float: "number", bool: "true, false", str: "text"}
BOUNDS = {"minimum": "at least", "above": "above", "maximum": "at most", "below": "below"}

Row = tuple[str, str, str, str]


def document(config: Config, prefix: str = "") -> Iterator[Row]:
    """(dotted key, default, legal values, meaning) of each key of a config, groups opened up.

    Groups with alternatives show the keys of the one that the config has; their first row lists the kinds.
    """
    schema = type(config)
    kinds = typing.get_type_hints(schema)
    for field in dataclasses.fields(config):
        key, value, meaning = f"{prefix}{field.name}", getattr(config, field.name), field.metadata.get("doc", "")
        if isinstance(value, Config):
            yield from _group(key, value, meaning)
        elif isinstance(value, dict):
            yield (key, "" if value else default_of(field), legal_values(kinds[field.name], field.metadata), meaning)
            for name, child in value.items():
                yield from _group(f"{key}.{name}", child, first_line(type(child)))
        else:
            yield (key, default_of(field), legal_values(kinds[field.name], field.metadata), meaning)


def page(rows: Iterable[Row], width: int) -> Iterator[str]:
    """The rows as lines of at most `width` columns: a key with its default, below it what it means and may be."""
    wrap = functools.partial(
        textwrap.wrap, width=width, initial_indent="    ", subsequent_indent="    ", break_on_hyphens=False
    )
    for key, default, legal, meaning in rows:
        yield f"{key} (default {default})" if default not in ("", "required") else f"{key} {default}".rstrip()
        yield from wrap(meaning)
        yield from wrap(legal)


def _group(key: str, config: Config, meaning: str) -> Iterator[Row]:
    if isinstance(config, Choice):
        yield (f"{key}.kind", "", ", ".join(sorted(config.choices)), meaning)
    yield from document(config, f"{key}.")


def legal_values(kind: Any, metadata: typing.Mapping[str, Any]) -> str:
    """The values that a field takes, in words: its type and its bounds."""
    bounds = [f"{words} {metadata[name]:g}" for name, words in BOUNDS.items() if metadata.get(name) is not None]
    return " ".join((_type_words(kind), " and ".join(bounds))).strip()


def _type_words(kind: Any) -> str:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        return " or ".join(["null", *(_type_words(one) for one in arguments if one is not type(None))])
    if origin is typing.Literal:
        return ", ".join(map(str, arguments))
    if origin is tuple:
        return f"list of {_type_words(arguments[0])}"
    if origin is dict:
        return f"by name: {_type_words(arguments[1])}"
    if isinstance(kind, type) and issubclass(kind, Choice):
        return f"{kind.noun} ({', '.join(sorted(kind.choices))})"
    if isinstance(kind, type) and issubclass(kind, Config):
        return f"group of {', '.join(field.name for field in dataclasses.fields(kind))}"
    return WORDS.get(kind, getattr(kind, "__name__", str(kind)))


def default_of(field: dataclasses.Field[Any]) -> str:
    """A field's default as one writes it; "required" where there is none."""
    if field.default is not dataclasses.MISSING:
        return written(to_mapping(field.default))
    if field.default_factory is not dataclasses.MISSING:
        return written(to_mapping(field.default_factory()))
    return "required"


def first_line(documented: Any) -> str:
    """The first line of a docstring."""
    return (documented.__doc__ or "").strip().partition("\n")[0]
