"""What a named size is, and how it is found.

A row says what differs from its family's style; a style says what its paper chose. Counts are of the whole pretraining
model, heads included, with shared weights counted once; a test holds each row to its count and to the published one.
"""

from __future__ import annotations

import fnmatch
from typing import Any, NamedTuple

from zoo.config import merged
from zoo.models.base import ModelConfig
from zoo.registry import Registry

Mapped = dict[str, Any]


class Preset(NamedTuple):
    """A named size.

    Attributes:
        settings: of its ModelConfig, as plain data.
        parameters: trained numbers of the model as built here.
        published: the figure that its authors state, in parameters; 0 for sizes of our own.
        source: where that figure stands.
    """

    settings: Mapped
    parameters: int
    published: int
    source: str


PRESETS: Registry[Preset] = Registry("preset")
"""Named sizes; a new one is a row in the file of its family."""


def preset_settings(name: str) -> Mapped:
    """The settings of a named size as plain data; raises ConfigError with the nearest name."""
    return PRESETS[name].settings


ModelConfig.presets = staticmethod(preset_settings)


def list_models(pattern: str = "*") -> list[str]:
    """Names of the presets that match a shell-style pattern: `list_models("bert*")`."""
    return sorted(name for name in PRESETS if fnmatch.fnmatchcase(name, pattern))


# ------------------------------------------------------------------------------------------- the words that rows are in


def add(name: str, style: Mapped, sizes: Mapped, parameters: int, published: int = 0, source: str = "ours") -> None:
    """Registers a row: a style with sizes (and whatever else differs) laid over it."""
    PRESETS.add(name, Preset(merged(style, sizes), parameters, published, source))


def size(dim: int, num_layers: int, num_heads: int, max_length: int, vocab_size: int, **rest: Any) -> Mapped:
    """The numbers that every row has, and what else differs from its style."""
    return {
        "dim": dim,
        "num_layers": num_layers,
        "num_heads": num_heads,
        "max_length": max_length,
        "vocab_size": vocab_size,
        **rest,
    }


def attention_bias(bias: bool) -> Mapped:
    """All four biases of attention alike."""
    return {f"{projection}_bias": bias for projection in ("query", "key", "value", "output")}


def dropout(rate: float, *places: str) -> Mapped:
    """The same rate at these places, nothing elsewhere."""
    everywhere = ("embedding", "attention", "residual", "feed_forward", "final")
    return {place: rate if place in places else 0.0 for place in everywhere}


NO_DROPOUT: Mapped = {"dropout": dropout(0.0)}
