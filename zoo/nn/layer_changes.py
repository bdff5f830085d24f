"""Changes for some layers of a stack.

    layers:
      "3::4": {attention: {window: null}, positions: none}     # every fourth layer sees everything, without positions
      "0": {attention_placement: none}                          # the first has no norm before its attention

A key is a Python slice of the numbers of the layers (or one number; negative ones count from the end), a value what
differs there, merged onto the stack's own settings as a later source is onto an earlier one. A later key stands on an
earlier one. What holds for every layer is said in the stack's own settings.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from zoo.config import build, merged, to_mapping
from zoo.errors import ConfigError
from zoo.nn.layer import LayerConfig

SAME_EVERYWHERE = ("dim", "max_length", "dropout.embedding", "dropout.final")
"""Settings that are of the stack, not of a layer."""


def changed_layers(config: LayerConfig, changes: Mapping[str, Any], num_layers: int) -> tuple[LayerConfig, ...]:
    """The config of each layer.

    Args:
        config: what a layer is where nothing is changed; more fields than a layer's are left out.
        changes: by slice of the layers, in the order in which they apply.
        num_layers: of the stack.

    Raises:
        ConfigError: a key that is no slice, or meets no layer or every layer; a change that does not fit or has no
            effect.
    """
    fields = [field.name for field in dataclasses.fields(LayerConfig)]
    plain = LayerConfig(**{name: getattr(config, name) for name in fields})
    layers = [plain] * num_layers
    for key, change in changes.items():
        try:
            layers = _with_change(layers, key, change)
        except ConfigError as error:
            raise error.under(f"layers.{key}") from None
    for key in _covered(list(changes), num_layers):
        if _without(key, plain, changes, num_layers) == layers:
            raise ConfigError("has no effect: keys after it change all of it once more; leave it out", f"layers.{key}")
    if all(layer.placement != plain.placement for layer in layers):
        raise ConfigError(
            f"give every layer another placement than placement={plain.placement}, which says whether the stack ends "
            "with a norm; say at the top what the last layer has",
            "layers",
        )
    return tuple(layers)


def _covered(keys: list[str], num_layers: int) -> list[str]:
    """The keys each of whose layers is met by a later key."""
    met = [set(range(num_layers)[_slice(key)]) for key in keys]
    return [key for number, key in enumerate(keys) if met[number] <= set().union(*met[number + 1 :])]


def _without(
    left_out: str, plain: LayerConfig, changes: Mapping[str, Any], num_layers: int
) -> list[LayerConfig] | None:
    """What the layers were without one of the changes; None where the others do not stand without it."""
    layers = [plain] * num_layers
    try:
        for key, change in changes.items():
            if key != left_out:
                layers = _changed_where(layers, range(num_layers)[_slice(key)], change)
    except ConfigError:
        return None
    return layers


def _with_change(layers: list[LayerConfig], key: str, change: Any) -> list[LayerConfig]:
    """The layers after one change; raises ConfigError where it is none, or that of the whole stack."""
    chosen = range(len(layers))[_slice(key)]
    if not isinstance(change, dict) or not change:
        raise ConfigError(f"{change!r} must be a group of settings of a layer")
    if not chosen:
        raise ConfigError(f"meets no layer of num_layers={len(layers)}; layers are numbered from 0")
    if len(chosen) == len(layers):
        raise ConfigError(
            f"meets every layer of num_layers={len(layers)}; say what it changes at the top, where it is said of all"
        )
    changed = _changed_where(layers, chosen, change)
    if changed == layers:
        raise ConfigError(f"changes nothing: {change!r} holds there already; leave it out")
    return changed


def _slice(key: str) -> slice:
    """`"3"` → the slice of layer 3 alone, `"1::2"` → slice(1, None, 2)."""
    if not re.fullmatch(r"-?\d+|(-?\d+)?:(-?\d+)?(:[1-9]\d*)?", key):
        raise ConfigError("is no number or slice of layers; write for example '0', '-1', '2:6' or '3::4'")
    parts = [int(part) if part else None for part in key.split(":")]
    if len(parts) > 1:
        return slice(*parts)
    (number,) = parts
    assert number is not None
    return slice(number, number + 1 or None)


def _changed_where(layers: list[LayerConfig], chosen: range, change: Mapping[str, Any]) -> list[LayerConfig]:
    changed = {layer: _changed(layer, change) for layer in dict.fromkeys(layers[number] for number in chosen)}
    return [changed[layer] if number in chosen else layer for number, layer in enumerate(layers)]


def _changed(layer: LayerConfig, change: Mapping[str, Any]) -> LayerConfig:
    old = to_mapping(layer)
    new = build(LayerConfig, merged(old, dict(change)))
    assert isinstance(new, LayerConfig)
    for path in SAME_EVERYWHERE:
        value, given = _at(to_mapping(new), path), _at(old, path)
        if value != given:
            raise ConfigError(f"{value!r} cannot differ from layer to layer; the stack has {given!r}", path)
    if new.positions != layer.positions:
        for scheme in (layer.positions, new.positions):
            if not scheme.by_layer:
                raise ConfigError(
                    f"{scheme.kind!r} act on the embeddings, for all layers alike; only schemes that act inside a "
                    "layer can differ from layer to layer",
                    "positions",
                )
    return new


def _at(settings: Any, path: str) -> Any:
    for name in path.split("."):
        settings = settings[name]
    return settings
