"""The config of a foreign model to ours, by the tables; `attempt.py` is the way back."""

from __future__ import annotations

import copy
from collections.abc import Container, Iterable, Mapping
from typing import Any

from zoo.config import build, flatten
from zoo.errors import ConfigError, quoted
from zoo.interop.base import ARCHITECTURES, LABELS, POOLER, Architecture, Field, Mapped
from zoo.interop.faults import Faults, check_number, check_numbers
from zoo.interop.labels import read_labels
from zoo.models import ModelConfig
from zoo.registry import unknown_name


def read_config(architecture: str, config: Mapping[str, Any], tensors: Container[str] | None = None) -> ModelConfig:
    """Our config of a foreign model.

    Args:
        architecture: a name of ARCHITECTURES.
        config: the foreign config as plain data (its config.json); fields that are left out have their defaults.
        tensors: the names in its files, which alone say whether a base model has a pooler, and of some architectures
            whether the output layer is tied; None: as its class has it, and as its config says.

    Raises:
        ConfigError: fields that are not known, or have values that our blocks do not cover, by their names: all of
            them. If there is none, what our own config refuses, by the fields that it follows from.
    """
    table, faults = ARCHITECTURES[architecture], Faults()
    config = faults.modernized(table, config)
    theirs = faults.sound(flatten(config))
    faults.errors += _unread(table, theirs)
    settings = copy.deepcopy(table.constant)
    heads = faults.take((), _heads, table, config.get("architectures"), tensors)
    settings["heads"] = {
        name: {**head, **faults.take({}, read_labels, head["kind"], config)}
        for name, head in settings["heads"].items()
        if name in heads
    }
    for field in table.fields:
        value = faults.take(field.default, _to_ours, field, theirs.get(field.name, field.default))
        for path in present(field.ours, heads):
            put(settings, path, value)
    for field in table.fields:
        if field.name in theirs:
            faults.take(None, check_number, field, theirs[field.name], settings)
    sound = {name: value for name, value in theirs.items() if name not in faults.names}
    for group in table.together:
        found = faults.read_group(
            group.names, group.read, {field.name: field.default for field in table.fields} | sound
        )
        for path in present(found, heads):
            put(settings, path, found[path])
        faults.errors += check_numbers(group, sound, settings)
    faults.raise_any(table.name)
    lacks_output = bool(table.output) and tensors is not None and f"{table.output}.weight" not in tensors
    if lacks_output and "language_model" in heads:
        put(settings, "heads.language_model.tied", True)
    if "decoder" in settings:
        settings["decoder"] = _what_differs(settings["decoder"], settings)
    try:
        model = build(ModelConfig, settings)
    except ConfigError as error:  # of several fields together
        faults.refuse_ours(table, error)
    assert isinstance(model, ModelConfig)
    return model


def present(paths: Iterable[str], heads: tuple[str, ...]) -> list[str]:
    """Where a field goes with us, but for the heads that the model lacks."""
    return [path for path in paths if not path.startswith("heads.") or path.split(".")[1] in heads]


def _heads(table: Architecture, classes: Any, tensors: Container[str] | None) -> tuple[str, ...]:
    """Which of our heads the foreign class has that the config names, but for a pooler that its files lack."""
    if not classes:
        return next(iter(table.classes.values()))
    for name in (table.renamed.get(name, name) for name in classes):
        if name in table.classes:
            heads, pooler = table.classes[name], f"{table.pooler}.weight"
            there = tensors is None or pooler in tensors or pooler.removeprefix(f"{table.prefix}.") in tensors
            return heads if there else tuple(head for head in heads if head != POOLER)
    if reasons := [f"{name} does not open here: {table.refused[name]}" for name in classes if name in table.refused]:
        raise ConfigError(f"{'; '.join(reasons)} (what opens: {', '.join(table.classes)})", "architectures")
    raise ConfigError(unknown_name(f"class of {table.name}", classes[0], table.classes), "architectures")


def _unread(table: Architecture, theirs: Mapped) -> list[ConfigError]:
    """An error for each field that is neither read nor harmless nor has the one value that we cover."""
    read = {*(field.name for field in table.fields), *(name for group in table.together for name in group.names)}
    required, errors = {**table.required, "model_type": (table.name,)}, []
    for name, value in theirs.items():
        if name in required:
            if not any(type(value) is type(legal) and value == legal for legal in required[name]):
                legal = " or ".join(map(repr, required[name]))
                told = f"{table.name} with {quoted(value)} is not covered; it must be {legal}"
                errors.append(ConfigError(told, name))
        elif name not in read and not _stands_in(name, table.harmless | LABELS):
            told = f"{table.name} has a field that is not known here and may change the model: {quoted(value)}"
            told += "; where you know that it does not, take it out of config.json"
            errors.append(ConfigError(told, name))
    return errors


def but_unknown(architecture: str, config: Mapping[str, Any]) -> Mapped:
    """A foreign config without the fields that are not known, or have another value than the one that we cover."""
    table = ARCHITECTURES[architecture]
    unread = _unread(table, flatten(Faults().modernized(table, config)))
    return {name: value for name, value in config.items() if name not in {one.key.split(".")[0] for one in unread}}


def _stands_in(name: str, fields: Container[str]) -> bool:
    """Whether a dotted name is one of these fields, or of something in one."""
    parts = name.split(".")
    return any(".".join(parts[:end]) in fields for end in range(1, len(parts) + 1))


def _to_ours(field: Field, value: Any) -> Any:
    if field.values is None:
        return value
    for theirs, ours in field.values.items():
        if type(theirs) is type(value) and theirs == value:
            return ours
    raise ConfigError(f"{value!r} is not covered; it must be one of {', '.join(map(repr, field.values))}", field.name)


def put(settings: Mapped, path: str, value: Any) -> None:
    """Sets a dotted path; a group is set key by key."""
    *groups, last = path.split(".")
    for group in groups:
        settings = settings.setdefault(group, {})
    if isinstance(value, dict) and isinstance(settings.get(last), dict):
        settings[last].update(value)
    else:
        settings[last] = copy.deepcopy(value)


def _what_differs(decoder: Mapped, encoder: Mapped) -> Mapped:
    """Foreign configs say the numbers of both sides, ours those of the decoder only where they differ."""
    return {name: value for name, value in decoder.items() if value is not None and value != encoder.get(name)}
