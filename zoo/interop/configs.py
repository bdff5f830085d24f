"""The config of a foreign model to ours and back, by the tables."""

from __future__ import annotations

import copy
from collections.abc import Container, Iterable, Mapping
from fnmatch import fnmatch
from typing import Any

from zoo.config import build, difference, flatten, to_mapping
from zoo.errors import ConfigError, quoted
from zoo.heads.classifier import LabelledConfig
from zoo.interop.base import ARCHITECTURES, LABELS, POOLER, Architecture, Field, Mapped, is_base_model, tied
from zoo.interop.faults import Faults, check_number
from zoo.interop.labels import read_labels, write_labels
from zoo.models import ModelConfig
from zoo.models.encoder_decoder import EncoderDecoderConfig
from zoo.nn.layer import LayerConfig
from zoo.registry import unknown_name

ABSENT = object()
"""What stands for a setting that a config does not have, where null is a value."""


def read_config(architecture: str, config: Mapping[str, Any], tensors: Container[str] | None = None) -> ModelConfig:
    """Our config of a foreign model.

    Args:
        architecture: a name of ARCHITECTURES.
        config: the foreign config as plain data (its config.json); fields that are left out have their defaults.
        tensors: the names in its files, which alone say whether a base model has a pooler, and of some architectures
            whether the output layer is tied; None: as its class has it, and as its config says.

    Raises:
        ConfigError: fields that are not known, or have values that our blocks do not cover, by their names: all of
            them. If there is none, what our own config refuses.
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
        for path in _present(field.ours, heads):
            _put(settings, path, value)
    for field in table.fields:
        if field.name in theirs:
            faults.take(None, check_number, field, theirs[field.name], settings)
    sound = {name: value for name, value in theirs.items() if name not in faults.names}
    for group in table.together:
        found = faults.read_group(
            group.names, group.read, {field.name: field.default for field in table.fields} | sound
        )
        for path in _present(found, heads):
            _put(settings, path, found[path])
    faults.raise_any(table.name)
    lacks_output = bool(table.output) and tensors is not None and f"{table.output}.weight" not in tensors
    if lacks_output and "language_model" in heads:
        _put(settings, "heads.language_model.tied", True)
    if "decoder" in settings:
        settings["decoder"] = _what_differs(settings["decoder"], settings)
    try:
        model = build(ModelConfig, settings)
    except ConfigError as error:  # of several fields together, by our name of one of them
        named = next((field.name for field in table.fields if error.key in field.ours), None)
        if named is None or named == error.key:
            raise
        raise ConfigError(f"{error.reason} ({named} is {error.key} here)", named) from None
    assert isinstance(model, ModelConfig)
    return model


def write_config(architecture: str, config: ModelConfig) -> Mapped:
    """The foreign config of our model, as plain data for a config.json.

    Args:
        architecture: a name of ARCHITECTURES.
        config: our model.

    Raises:
        ConfigError: a setting of ours that the architecture has no place for, by its name.
    """
    table = ARCHITECTURES[architecture]
    missing = {POOLER} - {*config.heads} if is_base_model(config) and table.pooler else set()
    classes = [name for name, heads in table.classes.items() if {*heads} == {*config.heads} | missing]
    if not classes:
        able = "; ".join(f"{name}: {', '.join(heads)}" for name, heads in table.classes.items())
        raise ConfigError(f"{architecture} has no model with exactly {sorted(config.heads)} ({able})", "heads")
    _refuse_other_kinds(table, config)
    ours = flatten(_spelled_out(config))
    theirs: Mapped = {"model_type": table.name, "architectures": classes[:1]}
    for field in table.fields:
        found = ((path, _get(ours, path)) for path in _present(field.ours, (*config.heads,)))
        path, value = next(((path, value) for path, value in found if value is not ABSENT), ("", ABSENT))
        if value is not ABSENT:
            _put(theirs, field.name, _to_theirs(field, path, value))
    for group in table.together:
        for name, value in group.write(config).items():
            _put(theirs, name, value)
    theirs |= write_labels(config)
    lacks = bool(missing) or (bool(table.output) and tied(config))
    _refuse_loss(table.name, config, read_config(architecture, theirs, () if lacks else None))
    return theirs


def _present(paths: Iterable[str], heads: tuple[str, ...]) -> list[str]:
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
        elif name not in read and name.split(".")[0] not in table.harmless | LABELS:
            told = f"{table.name} has a field that is not known here and may change the model: {quoted(value)}"
            told += "; where you know that it does not, take it out of config.json"
            errors.append(ConfigError(told, name))
    return errors


def _to_ours(field: Field, value: Any) -> Any:
    if field.values is None:
        return value
    for theirs, ours in field.values.items():
        if type(theirs) is type(value) and theirs == value:
            return ours
    raise ConfigError(f"{value!r} is not covered; it must be one of {', '.join(map(repr, field.values))}", field.name)


def _to_theirs(field: Field, path: str, value: Any) -> Any:
    if field.values is None:
        return value
    for theirs, ours in field.values.items():
        if {**value, **ours} == value if isinstance(ours, dict) else ours == value:
            return theirs
    raise ConfigError(f"{value!r} has no foreign {field.name}; it must be one of {[*field.values.values()]}", path)


def _put(settings: Mapped, path: str, value: Any) -> None:
    """Sets a dotted path; a group is set key by key."""
    *groups, last = path.split(".")
    for group in groups:
        settings = settings.setdefault(group, {})
    if isinstance(value, dict) and isinstance(settings.get(last), dict):
        settings[last].update(value)
    else:
        settings[last] = copy.deepcopy(value)


def _get(flat: Mapped, path: str) -> Any:
    """What a flattened config has at a dotted path: a value, a group, or ABSENT."""
    if path in flat:
        return flat[path]
    group = {name.removeprefix(f"{path}."): value for name, value in flat.items() if name.startswith(f"{path}.")}
    return group or ABSENT


def _what_differs(decoder: Mapped, encoder: Mapped) -> Mapped:
    """Foreign configs say the numbers of both sides, ours those of the decoder only where they differ."""
    return {name: value for name, value in decoder.items() if value is not None and value != encoder.get(name)}


def _spelled_out(config: ModelConfig) -> Mapped:
    """Our config as plain data, with the numbers that null stands for and all settings of a decoder."""
    settings = _with_numbers(config)
    if isinstance(config, EncoderDecoderConfig):
        settings["decoder"] = _with_numbers(config.decoder_config())
    return settings


def _with_numbers(config: LayerConfig) -> Mapped:
    settings: Mapped = to_mapping(config)
    heads = config.attention_heads
    settings["num_kv_heads"], settings["head_dim"] = heads.num_kv_heads, heads.head_dim
    settings["feed_forward_dim"] = config.inner_dim
    return settings


OF_LAYERS = ("attention", "attention_placement", "block", "feed_forward", "feed_forward_dim", "residual")
"""What only layers read: a stack that changes it for some of them means nothing else by it."""


NO_MATTER = ("initialization.*", "*attention.kernel", "*balancing.rate")
"""What decides neither outputs nor gradients: how weights were drawn, which kernel computes, how a bias moves."""


def _what_is_computed(config: ModelConfig, by_layer: bool) -> Mapped:
    """What of our config decides outputs and gradients, flattened.

    Args:
        config: ours.
        by_layer: whether each layer is listed by itself, as where `layers` changes some: it may do so in many ways.
    """
    settings = _spelled_out(config)
    for name, head in config.heads.items():
        if isinstance(head, LabelledConfig):
            settings["heads"][name]["labels"] = [*head.label_names]
    for side in config.sides() if by_layer else ():
        stack = settings[side.key] if side.key else settings
        for name in (*OF_LAYERS, *(("positions",) if side.stack.positions.by_layer else ())):
            del stack[name]
        layers = enumerate(side.stack.layer_configs())
        stack["layers"] = {str(number): _with_numbers(layer) for number, layer in layers}
    return {
        path: value
        for path, value in flatten(settings).items()
        if not any(fnmatch(path, pattern) for pattern in NO_MATTER)
    }


def _refuse_other_kinds(table: Architecture, config: ModelConfig) -> None:
    """Raises where a setting that holds for every model of the architecture is another one."""
    ours = flatten(_spelled_out(config))
    for path, value in flatten(table.constant).items():
        group = path.split(".")
        if group[0] == "initialization" or (group[0] == "heads" and group[1] not in config.heads):
            continue
        if ours.get(path, ABSENT) != value:
            raise ConfigError(f"{table.name} has no place for {ours.get(path)!r}; there it is {value!r}", path)


def _refuse_loss(architecture: str, config: ModelConfig, again: ModelConfig) -> None:
    """Raises where what was written reads back as another model."""
    by_layer = bool(config.layers or again.layers)
    ours, theirs = (_what_is_computed(model, by_layer) for model in (config, again))
    for path, mine, other in difference(ours, theirs):
        raise ConfigError(f"{architecture} has no place for {mine!r}; there it is {other!r}", path)
