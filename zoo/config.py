"""From settings, plain data of several sources, to typed, frozen dataclasses, and back.

    defaults ← preset ← YAML files ← key=value

A later source wins key by key. A field that has alternatives is typed by their base (`zoo.registry.Choice`): its `kind`
picks the dataclass, only that dataclass's fields are legal beside it, and a source that changes the `kind` drops what
older sources said beside the old one; a group without a `kind` changes the one that an older source or the default
chose. Nothing is guessed: an unknown key, a wrong type or a value out of its range is a ConfigError that names the key.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import sys
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

from zoo.errors import Collected, ConfigError, quoted
from zoo.field_types import check_value, describe_type, entry_types, meant_number
from zoo.registry import Choice
from zoo.unknown_settings import renamed, unknown_key

C = TypeVar("C", bound="Config")
Mapped = dict[str, Any]


def setting(
    default: Any = dataclasses.MISSING,
    doc: str = "",
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    above: float | None = None,
    below: float | None = None,
    training_only: bool = False,
    zero_adds_nothing: bool = False,
) -> Any:
    """A dataclass field with its meaning, unit and range.

    Args:
        default: the value where no source names the field; a dict or a list is copied for each use; left out: required.
        doc: what the field means, in which unit.
        minimum, maximum: inclusive bounds of a number, or of each number of a list. above, below: exclusive bounds.
        training_only: whether it acts in training alone (dropout): outputs of the same weights do not depend on it.
        zero_adds_nothing: of true or false: all that true adds are parameters that add nothing while they are zero.
    """
    metadata = {
        "doc": doc,
        "minimum": minimum,
        "maximum": maximum,
        "above": above,
        "below": below,
        "training_only": training_only,
        "zero_adds_nothing": zero_adds_nothing,
    }
    if isinstance(default, dict | list):
        return dataclasses.field(default_factory=functools.partial(copy.copy, default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Base of every config dataclass: checks the type and range of each field, whoever constructs it."""

    def __post_init__(self) -> None:
        wrong = Collected()
        _check_fields(type(self), vars(self), wrong)
        wrong.raise_any()
        self.validate()

    def validate(self) -> None:
        """Checks of several fields together: raises ConfigError that names the fields and their values."""


class Source(NamedTuple):
    """Settings from one place: `name` is what an error or `zoo config` calls it, `settings` a nested mapping."""

    name: str
    settings: Mapped


class Resolved(NamedTuple):
    """A config and, for each dotted key, the name of the source that its value came from."""

    config: Any
    origins: dict[str, str]


# ------------------------------------------------------------------------------------------------------------ resolving


def load_config(schema: type[C], sources: Iterable[Source]) -> Resolved:
    """The config that the sources, oldest first, amount to.

    A choice class with `presets` takes the key `preset` beside its fields: the row of that name goes in just above the
    defaults, below every source. Raises ConfigError on anything that does not fit.
    """
    sources = list(sources)
    rows = list(_presets(schema, sources))
    settings: Mapped = {}
    origins: dict[str, str] = {}
    for layer in (Source("default", default_mapping(schema)), *rows, *sources):
        settings = _merge(settings, layer.settings, layer.name, origins, "")
    for row in rows:  # a preset that a later kind takes back altogether would be a setting without effect
        for field, values in row.settings.items():
            if isinstance(settings[field], dict) and settings[field]["kind"] != values["kind"]:
                told = (
                    f"{quoted(settings[field]['kind'])} does not go with {row.name}, whose kind is {values['kind']!r}"
                )
                raise ConfigError(told, f"{field}.kind")
    config = build(schema, settings)
    # the origin of a kind that was said as a bare word (`positions: alibi`) stands one level up
    keys = {key: key.removesuffix(".kind") for key in flatten(to_mapping(config))}
    return Resolved(config, {key: origins.get(key, origins.get(word, "default")) for key, word in keys.items()})


def _presets(schema: type[Config], sources: list[Source]) -> Iterable[Source]:
    """Takes `preset` out of the sources; yields the row that the last of them names, for each field that has rows."""
    for name, kind in _types_of(schema).items():
        presets = getattr(kind, "presets", None)
        if presets is None:
            continue
        chosen = None
        for index, source in enumerate(sources):
            section = source.settings.get(name)
            if isinstance(section, dict) and "preset" in section:
                chosen = section["preset"]
                rest = {key: value for key, value in section.items() if key != "preset"}
                sources[index] = Source(source.name, {**source.settings, name: rest})
        if chosen is not None:
            if not isinstance(chosen, str):
                raise ConfigError(f"{quoted(chosen)} is not {describe_type(str)}", f"{name}.preset")
            try:
                yield Source(f"preset {chosen}", {name: presets(chosen)})
            except ConfigError as error:
                raise ConfigError(error.reason, f"{name}.preset") from None


def _merge(older: Mapped, newer: Mapped, name: str, origins: dict[str, str], prefix: str) -> Mapped:
    merged = dict(older)
    for key, value in newer.items():
        path = f"{prefix}{key}"
        before = as_group(older.get(key), value)
        if isinstance(before, dict) and "kind" in before:
            value = as_group(value, before)
        if isinstance(before, dict) and isinstance(value, dict):
            if value.get("kind", before.get("kind")) != before.get("kind"):
                before = {}
                for stale in [leaf for leaf in origins if leaf == path or leaf.startswith(f"{path}.")]:
                    del origins[stale]
            merged[key] = _merge(before, value, name, origins, f"{path}.")
        else:
            merged[key] = value
            for leaf in flatten({key: value}, prefix):
                origins[leaf] = name
    return merged


def as_group(value: Any, beside: Any) -> Any:
    """`positions: alibi` where another source has a group is short for `positions: {kind: alibi}`."""
    return {"kind": value} if isinstance(value, str) and isinstance(beside, dict) else value


def build(schema: Any, value: Any, key: str = "") -> Any:
    """The typed value that plain data stands for; `schema` is a config class or any field type."""
    try:
        return _build(schema, value)
    except ConfigError as error:
        raise error.under(key) from None


def _build(schema: Any, value: Any) -> Any:
    origin, arguments = typing.get_origin(schema), typing.get_args(schema)
    if origin in (types.UnionType, typing.Union):
        if value is None and type(None) in arguments:
            return None
        wanted = [a for a in arguments if a is not type(None)]
        if len(wanted) == 1:
            return _build(wanted[0], value)
        if isinstance(value, list | tuple):
            return next((_build(a, value) for a in wanted if typing.get_origin(a) is tuple), value)
        structured = [a for a in wanted if isinstance(a, type) and issubclass(a, Config)]
        return _build(structured[0], value) if structured and isinstance(value, dict | str) else value
    if origin is dict and isinstance(value, dict):
        if "kind" in value:
            raise ConfigError(f"{quoted(value['kind'])} stands where names are; write name: {{kind: …}}", "kind")
        for name in value:
            if not isinstance(name, str):
                raise ConfigError(f"key {quoted(name)} must be a word; quote it: {{{quoted(str(name))}: …}}")
        # null takes an entry out
        return _build_each([(name, arguments[1], child) for name, child in value.items() if child is not None])
    if origin is tuple and isinstance(value, list | tuple):
        pairs = zip(entry_types(arguments, len(value)), value, strict=False)
        built = tuple(_build_each([(str(index), *pair) for index, pair in enumerate(pairs)]).values())
        return built + tuple(value[len(built) :])
    if isinstance(schema, type) and issubclass(schema, Config):
        return value if isinstance(value, schema) else _build_config(schema, value)
    if schema is float and type(value) is int and abs(value) <= sys.float_info.max:
        return float(value)
    return value


def _build_config(schema: type[Config], value: Any) -> Config:
    if issubclass(schema, Choice) and isinstance(value, str):
        try:
            return _build_config(schema, {"kind": value})
        except ConfigError as error:  # a bare word was written, so there is no `kind` to point at
            raise error.renamed(lambda key: "" if key == "kind" else key) from None
    if not isinstance(value, dict):
        before = renamed(schema, "kind" if isinstance(value, str) else value, value)
        if before is not None:
            raise ConfigError(before)
        legal = (
            f"kinds: {', '.join(sorted(schema.choices))}"
            if issubclass(schema, Choice)
            else f"keys: {', '.join(_keys(schema))}"
        )
        hint = meant_number(schema, value) if issubclass(schema, Choice) else ""
        raise ConfigError(f"must be a group of settings, not {quoted(value)}{hint} (legal {legal})")
    if issubclass(schema, Choice):
        kind = value.get("kind", getattr(schema, "kind", None))
        if kind is None:
            raise ConfigError(f"needs a kind (legal: {', '.join(sorted(schema.choices))})")
        before = renamed(schema, kind, kind)
        if before is not None:
            raise ConfigError(before, "kind")
        schema = schema.choice(kind)
        value = {name: child for name, child in value.items() if name != "kind"}
    fields = {field.name: field for field in dataclasses.fields(schema)}
    wrong, kinds, built = Collected(), _types_of(schema), {}
    for name, child in value.items():
        if name not in fields:
            wrong.take(unknown_key(schema, name, child, fields))
    for name, field in fields.items():
        if name not in value and _required(field):
            wrong.add(f"is required: {field.metadata.get('doc', '')}", name)
        elif name in value:
            try:
                built[name] = build(kinds[name], _over_default(field, value[name]), name)
            except ConfigError as error:
                wrong.take(error)
    if wrong.errors:
        _check_fields(schema, built, wrong)
        wrong.raise_any()
    return schema(**built)


def _check_fields(schema: type[Config], values: Mapping[str, Any], wrong: Collected) -> None:
    """Type and range of the fields that have values."""
    kinds = _types_of(schema)
    for field in dataclasses.fields(schema):
        if field.name in values:
            try:
                check_value(kinds[field.name], values[field.name], field.metadata)
            except ConfigError as error:
                wrong.take(error.under(field.name))


def _build_each(entries: Iterable[tuple[str, Any, Any]]) -> dict[str, Any]:
    """What becomes of (name, type, plain value) by name; raises ConfigError with all that is wrong."""
    wrong, built = Collected(), {}
    for name, kind, child in entries:
        try:
            built[name] = build(kind, child, name)
        except ConfigError as error:
            wrong.take(error)
    wrong.raise_any()
    return built


def _over_default(field: dataclasses.Field[Any], value: Any) -> Any:
    """A group that says a part of a field stands on the field's own default, as a later source stands on an earlier."""
    if not isinstance(field.default, Config) or not isinstance(value, dict):
        return value
    return merged(to_mapping(field.default), value)


def merged(older: Mapped, newer: Mapped) -> Mapped:
    """Plain data with a part of it changed, as a later source changes an earlier one: a new `kind` drops the old."""
    result: Mapped = _merge({"": older}, {"": newer}, "", {}, "")[""]
    return result


def _keys(schema: type[Config]) -> list[str]:
    return [field.name for field in dataclasses.fields(schema)]


def _required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _read_types(schema: Any) -> dict[str, Any]:
    hints = typing.get_type_hints(schema)
    return {field.name: hints[field.name] for field in dataclasses.fields(schema)}


_types_of: Callable[[Any], dict[str, Any]] = functools.cache(_read_types)


# -------------------------------------------------------------------------------------------------------------- writing


def to_mapping(config: Any) -> Any:
    """Plain data (dicts, lists, scalars) that `build` turns into an equal config."""
    if isinstance(config, Config):
        kind = {"kind": config.kind} if isinstance(config, Choice) else {}
        return {**kind, **{f.name: to_mapping(getattr(config, f.name)) for f in dataclasses.fields(config)}}
    if isinstance(config, dict):
        return {name: to_mapping(value) for name, value in config.items()}
    if isinstance(config, tuple | list):
        return [to_mapping(value) for value in config]
    return config


def marks_of(config: Config, path: str) -> list[Mapping[str, Any]]:
    """What `setting` says of a dotted setting, behind what it says of each group around it; []: there is none."""
    found: list[Mapping[str, Any]] = []
    place: Any = config
    for name in path.split("."):
        fields = {field.name: field for field in dataclasses.fields(place)} if isinstance(place, Config) else {}
        if name in fields:
            found.append(fields[name].metadata)
            place = getattr(place, name)
        elif isinstance(place, dict) and name in place:
            place = place[name]
        else:
            return []
    return found


def default_mapping(schema: type[Config]) -> Mapped:
    """The defaults of a config class as plain data; fields without a default are left out."""
    if issubclass(schema, Choice) and not hasattr(schema, "kind"):
        return {}
    defaults: Mapped = {}
    for field in dataclasses.fields(schema):
        if field.default is not dataclasses.MISSING:
            defaults[field.name] = to_mapping(field.default)
        elif field.default_factory is not dataclasses.MISSING:
            defaults[field.name] = to_mapping(field.default_factory())
    return defaults


def flatten(settings: Mapped, prefix: str = "") -> dict[str, Any]:
    """`{"a": {"b": 1}}` → `{"a.b": 1}`; an empty group stays as an empty dict."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, dict) and value:
            flat.update(flatten(value, f"{prefix}{name}."))
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def difference(one: Any, other: Any) -> list[tuple[str, Any, Any]]:
    """(dotted key, value in `one`, value in `other`) where two configs or mappings differ; None stands for absent."""
    left, right = flatten(to_mapping(one)), flatten(to_mapping(other))
    return [(k, left.get(k), right.get(k)) for k in sorted({*left, *right}) if left.get(k) != right.get(k)]
