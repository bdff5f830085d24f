"""What is said of a setting that a config does not have: what it is called now, or the nearest legal name.

A run folder, and a config of one's own, outlive the version that they were written for. So where a key or a kind is
unknown, the table of renamed settings is asked before a near name is guessed. Nothing is translated in silence: whoever
wrote the config changes it, once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from typing import Any

from zoo.errors import ConfigError, cut, quoted
from zoo.registry import Choice, unknown_name

RENAMED: dict[tuple[str, object], str] = {
    ("EncoderDecoderConfig", "num_decoder_layers"): "write model.decoder.num_layers={value}",
    ("CausalLMConfig", "begin"): "leave it out: it was taken out because generation did not keep to it",
    ("QueryKeyNormConfig", "kind"): "write query_key_norm.norm={value} (query_key_norm: {{norm: {value}}})",
    ("ResidualConfig", "off"): "write none",
    ("ResidualConfig", False): "write none",  # YAML reads off as false
}
"""(config class, key that it had, or kind) → what to do; {value} is what stands behind the key.

One row a renaming, added in the commit that renames or removes what people may have written down.
"""


def renamed(schema: type[Any], name: object, value: Any) -> str | None:
    """What to do about a key, or a kind, that `schema` had in an earlier version; None: it had none of that name."""
    told = RENAMED.get((schema.__name__, name)) if isinstance(name, str | bool) else None
    if told is None:
        return None
    return f"{quoted(name)} is a setting of an earlier version of zoo; {told.format(value=cut(str(value)))}"


def unknown_key(schema: type[Any], name: str, value: Any, keys: Iterable[str]) -> ConfigError:
    """The error about a key that a group does not have; a value that is a kind was meant as one."""
    before = renamed(schema, name, value)
    if before is not None:
        return ConfigError(before, name)
    if not issubclass(schema, Choice):
        return ConfigError(unknown_name("key", name, keys), name)
    presets = ["preset"] if getattr(schema, "presets", None) else []
    meant = "kind" if isinstance(value, str) and value in schema.choices else None
    others = [kind for kind, choice in schema.choices.items() if name in [field.name for field in fields(choice)]]
    if others and meant is None:
        kinds = f"kind{'s' * (len(others) > 1)} {', '.join(sorted(others))}"
        legal = ", ".join(sorted(["kind", *presets, *keys]))
        told = f"unknown {schema.kind} {schema.noun} key {quoted(name)}; it goes with {kinds}"
        return ConfigError(f"{told} (legal: {legal})", name, beside=f"kind={others[0]}")
    return ConfigError(unknown_name(f"{schema.kind} {schema.noun} key", name, ["kind", *presets, *keys], meant), name)
