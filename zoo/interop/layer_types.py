"""Lists of the sort of each layer ("sliding_attention", "full_attention", …) to `layers` of our config, and back."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

from zoo.errors import ConfigError
from zoo.interop.base import Mapped
from zoo.models import ModelConfig

SLIDING, FULL = "sliding_attention", "full_attention"
WINDOW = {"attention.window": "sliding_window"}
"""Our setting of a window, and the foreign one that it mostly follows from."""


def changes_for(chosen: Sequence[bool], change: Mapped) -> Mapped:
    """`layers` of our config: this change for the layers that are chosen, by as few slices as say it.

    Args:
        chosen: for each layer whether it is changed.
        change: what differs there.
    """
    numbers = [number for number, is_chosen in enumerate(chosen) if is_chosen]
    return dict.fromkeys(_slices(numbers, len(chosen)), change)


def _slices(numbers: Sequence[int], num_layers: int) -> list[str]:
    """Python slices of `range(num_layers)` that together are these numbers."""
    if len(numbers) < 2:
        return [str(number) for number in numbers]
    start, step = numbers[0], numbers[1] - numbers[0]
    if list(range(num_layers)[start::step]) == list(numbers):
        return [f"{start}::{step}" if step > 1 else f"{start}:"]
    if list(numbers) == list(range(start, numbers[-1] + 1)):
        return [f"{start}:{numbers[-1] + 1}"]
    return [str(number) for number in numbers]


def type_of_each(types: Any, legal: Sequence[Hashable], num_layers: int, name: str) -> list[Any]:
    """The list of a foreign config, checked: one of the legal types for each layer.

    Raises:
        ConfigError: another length, or a type that is not covered.
    """
    if not isinstance(types, list) or len(types) != num_layers or any(kind not in legal for kind in types):
        raise ConfigError(f"{types!r} must say {' or '.join(map(repr, legal))} for each of {num_layers} layers", name)
    return types


def read_windows(types: Any, places: int | None, num_layers: int, name: str = "layer_types") -> Mapped:
    """Settings of ours where layers of the sliding type see `places` places, themselves among them.

    Args:
        types: of each layer, sliding or full.
        places: how many a causal layer sees; None: not given.
        num_layers: how many types there must be.
        name: of the foreign field that has the types.

    Raises:
        ConfigError: a layer has a window that is not given, or the types do not fit.
    """
    sliding = [kind == SLIDING for kind in type_of_each(types, (SLIDING, FULL), num_layers, name)]
    if not any(sliding):
        return {}
    if places is None:
        raise ConfigError(f"says {SLIDING!r} of a layer, and no window is given", name)
    if all(sliding):
        return {"attention.window": places - 1}
    return {"layers": changes_for(sliding, {"attention": {"window": places - 1}})}


def write_windows(config: ModelConfig) -> tuple[list[str], int | None]:
    """The type of each layer and how many places a sliding one sees, itself among them."""
    windows = [layer.attention.window for layer in config.layer_configs()]
    widths = {window for window in windows if window is not None}
    if len(widths) > 1:
        raise ConfigError(f"one window for all layers that have one, not {sorted(widths)}", "layers")
    return [FULL if window is None else SLIDING for window in windows], widths.pop() + 1 if widths else None
