"""Each field of a config on its own: where it stands, and which other values it may take.

What the perturbation tests share: `test_settings.py` (models), `test_run_settings.py` (all the rest of a run). Classes
and fields come from the registries and the dataclasses, so what is registered tomorrow is varied too.
"""

import dataclasses
import re
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, TypeVar

from zoo.config import Config
from zoo.registry import Choice

T = TypeVar("T")
Plain = dict[str, Any]
Place = Callable[[Plain, str, str, type[Config]], Plain | None]
"""(plain data, path of a field, path in it, a class that may stand there) → the data with it; None: it may not."""


class Setting(NamedTuple):
    """A field, where it stands, and the plain data of a config that has it."""

    path: str
    kind: Any
    plain: Plain


# ----------------------------------------------------------------------------------------------------------- all fields


def settings_of(schema: type[Config], path: str, plain: Plain, place: Place) -> Iterator[Setting]:
    """Every field of a config class that stands at `path`, and of all that may stand in it."""
    hints = typing.get_type_hints(schema)
    for field in dataclasses.fields(schema):
        where = f"{path}{field.name}"
        yield Setting(where, hints[field.name], plain)
        for inner in configs_in(hints[field.name]):
            inside = f"{where}.main" if typing.get_origin(hints[field.name]) is dict else where
            for alternative in list(inner.choices.values()) if issubclass(inner, Choice) else [inner]:
                there = place(plain, where, inside, alternative)
                if there is not None:
                    yield from settings_of(alternative, f"{inside}.", there, place)


def configs_in(kind: Any) -> list[type[Config]]:
    """The config classes that a field type names."""
    if isinstance(kind, type) and issubclass(kind, Config):
        return [kind]
    return [config for argument in typing.get_args(kind) for config in configs_in(argument)]


def is_plain_group(kind: Any) -> bool:
    """Whether a field is a group of settings and no more: these are varied one by one."""
    return isinstance(kind, type) and issubclass(kind, Config) and not issubclass(kind, Choice)


def changed(plain: Plain, path: str, value: Any, keep: bool = False) -> Plain:
    """The plain data with one path set; with `keep`, only if nothing is there."""
    name, _, rest = path.partition(".")
    inner = plain.get(name)
    if rest:
        group = inner if isinstance(inner, dict) else {} if inner is None else {"kind": inner}
        return {**plain, name: changed(group, rest, value, keep)}
    return plain if keep and inner is not None else {**plain, name: value}


def value_at(config: Any, path: str) -> Any:
    """The value of a dotted path."""
    for name in path.split("."):
        config = config[name] if isinstance(config, dict) else getattr(config, name)
    return config


# ----------------------------------------------------------------------------------------------------------- variations


def variations(kind: Any, value: Any, refusal: str) -> list[Any]:
    """Other values that a field of this type may take; some may be refused.

    Args:
        kind: the field's type. value: what it has now. refusal: what is said about a value that is not legal.
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        found = [other for argument in arguments for other in variations(argument, value, refusal)]
    elif kind is type(None):
        found = [None]
    elif origin is typing.Literal:
        found = list(arguments)
    elif origin is dict:
        layers = [{"0": {"feed_forward_dim": 5}}, {"feed_forward_dim": 5}]
        found = [{}, *layers] if Any in arguments else _other_names(value or {})
    elif kind is bool:
        found = [True, False]
    elif kind is int:
        found = [value + 1, value * 2, value - 1] if isinstance(value, int) else [1, 2, 3, 6]
    elif kind is float:
        many = isinstance(value, float) and value
        found = [value * 2, value / 2, value * 1000] if many else [0.5, 1.5, 3.0, 1e6]  # one eps hides in another
    elif origin is tuple:
        found = _other_lists(arguments[0], value)
    elif kind is str:
        found = re.findall(r"[^\s,()]+", refusal.partition("legal: ")[2])
    elif issubclass(kind, Choice):
        found = list(kind.choices)
    else:
        found = [{}]  # a group of settings: its fields are varied one by one; where it may be null, it may be there
    return [other for other in found if other != (value.kind if isinstance(value, Choice) else value)]


def _other_names(value: dict[str, Any]) -> list[Any]:
    """Without any of the named groups, without one of them, with another name."""
    fewer = [{name: group for name, group in value.items() if name != out} for out in value]
    return [{}, *fewer, *({**one, f"{out}_other": value[out]} for one, out in zip(fewer, value, strict=True))]


def _other_lists(kind: Any, value: tuple[Any, ...] | None) -> list[Any]:
    """Lists of one of the legal words, or the numbers doubled."""
    if typing.get_origin(kind) is typing.Literal:
        return [[word] for word in typing.get_args(kind)]
    return [[2 * entry for entry in value]] if value and kind in (int, float) else []


# --------------------------------------------------------------------------------------------------------------- tables


def label(plain: Plain, path: str) -> str:
    """The path of a field with the kind of each group that it stands in: `data.source=text.path`."""
    *groups, name = path.split(".")
    words, here = list[str](), plain
    for group in groups:
        here = here.get(group, {}) if isinstance(here, dict) else {}
        kind = here.get("kind") if isinstance(here, dict) else None
        words.append(f"{group}={kind}" if kind else group)
    return ".".join([*words, name])


def fits(pattern: str, name: str) -> bool:
    """Whether a label is of a pattern: * is any text between two dots, ** any text."""
    parts = [r"[^.]*".join(map(re.escape, part.split("*"))) for part in pattern.split("**")]
    return re.fullmatch(".*".join(parts), name) is not None


def said_of(table: Mapping[str, T], name: str) -> T | None:
    """What a table says of the field with this label."""
    return next((said for pattern, said in table.items() if fits(pattern, name)), None)
