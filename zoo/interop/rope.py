"""The `rope_parameters` that many foreign configs have, and our rotary positions.

Their `rope_type` is our kind of scaling. Left out, because they depend on the batch: `dynamic`, and `longrope`, which
chooses its list of factors by the longest row.
"""

from __future__ import annotations

import math
from typing import Any

from zoo.errors import ConfigError
from zoo.interop.base import Mapped, Together
from zoo.models import ModelConfig
from zoo.nn.positions.rotary import RotaryConfig
from zoo.registry import unknown_name

ROPE = "rope_parameters"
LENGTH = {"original_max_position_embeddings": "original_length"}
SCALINGS: dict[str, tuple[str, dict[str, str]]] = {
    "default": ("none", {}),
    "linear": ("linear", {"factor": "factor"}),
    "llama3": (
        "llama3",
        {
            "factor": "factor",
            "low_freq_factor": "low_frequency_factor",
            "high_freq_factor": "high_frequency_factor",
            **LENGTH,
        },
    ),
    "yarn": (
        "yarn",
        {
            "factor": "factor",
            "beta_fast": "beta_fast",
            "beta_slow": "beta_slow",
            "truncate": "truncate",
            "attention_factor": "attention_factor",
            "mscale": "mscale",
            "mscale_all_dim": "mscale_all_dim",
            **LENGTH,
        },
    ),
}
"""For each `rope_type` our kind of scaling, and the names of its numbers: theirs → ours."""

NUMBERS = tuple(dict.fromkeys(name for _, names in SCALINGS.values() for name in names))


def rope(theta: float = 10_000.0, *, partial: float | None = None) -> Together:
    """What of a config says how positions rotate.

    Args:
        theta: base of the frequencies where none is given.
        partial: the share of a head that is rotated where none is given; None: a whole head, whatever is given.
    """

    def read(theirs: Mapped) -> Mapped:
        given = {name: theirs.get(f"{ROPE}.{name}") for name in ("rope_type", *NUMBERS)}
        settings = _scaling({name: value for name, value in given.items() if value is not None}, theirs)
        width = _width(theirs, partial)
        settings["positions.theta"] = theirs.get(f"{ROPE}.rope_theta", theta)
        return settings if partial is None else settings | {"positions.width": width}

    def write(config: ModelConfig) -> Mapped:
        positions = config.positions
        assert isinstance(positions, RotaryConfig)
        share = {} if partial is None else {f"{ROPE}.partial_rotary_factor": _share(positions.width, config)}
        return {f"{ROPE}.rope_theta": positions.theta, **share, **_rope_type(positions)}

    names = ("rope_type", "rope_theta", *NUMBERS, *(() if partial is None else ("partial_rotary_factor",)))
    return Together(tuple(f"{ROPE}.{name}" for name in names), read, write)


def _scaling(given: Mapped, theirs: Mapped) -> Mapped:
    """The scaling with all its numbers; those that its type does not read are refused."""
    kind = given.pop("rope_type", "default")
    if kind not in SCALINGS:
        raise ConfigError(unknown_name("rope_type", kind, SCALINGS), f"{ROPE}.rope_type")
    ours, names = SCALINGS[kind]
    for name in given:
        if name not in names:
            raise ConfigError(f"{given[name]!r} is not read where rope_type is {kind!r}", f"{ROPE}.{name}")
    if ours != "none" and "factor" not in given:
        raise ConfigError(f"rope_type {kind!r} needs a factor", f"{ROPE}.factor")
    if "original_max_position_embeddings" in names:
        given.setdefault("original_max_position_embeddings", theirs["max_position_embeddings"])
    return {"positions.scaling": {"kind": ours, **{names[name]: value for name, value in given.items()}}}


def _rope_type(positions: RotaryConfig) -> Mapped:
    scaling = positions.scaling
    for kind, (ours, names) in SCALINGS.items():
        if ours == scaling.kind:
            numbers = {f"{ROPE}.{theirs}": getattr(scaling, name) for theirs, name in names.items()}
            return {f"{ROPE}.rope_type": kind} | {name: value for name, value in numbers.items() if value is not None}
    raise ConfigError(
        f"{scaling.kind!r} has no foreign rope_type; it must be one of {sorted(ours for ours, _ in SCALINGS.values())}",
        "positions.scaling.kind",
    )


def _width(theirs: Mapped, partial: float | None) -> int | None:
    """How many channels of a head are rotated; None: all."""
    share = theirs.get(f"{ROPE}.partial_rotary_factor")
    head_dim = theirs.get("head_dim") or theirs["hidden_size"] // theirs["num_attention_heads"]
    width = int(head_dim * (partial if share is None else share)) if partial is not None else head_dim
    return None if width == head_dim else width


def _share(width: int | None, config: ModelConfig) -> float:
    """The share of a head that, cut off to whole channels, is this width."""
    head_dim = config.attention_heads.head_dim
    share = (head_dim if width is None else width) / head_dim
    return share if int(head_dim * share) == (width or head_dim) else math.nextafter(share, 1.0)


def modernize(config: Mapped) -> Mapped:
    """`rope_theta`, `rope_scaling` and the like of older files, as `rope_parameters`."""
    older: dict[str, Any] = config.pop("rope_scaling", None) or {}
    rope = dict(config.pop(ROPE, None) or {})
    for names in (older, rope):
        if "type" in names:
            _put(names, "rope_type", names.pop("type"))
    for name in ("rope_theta", "partial_rotary_factor"):
        if config.get(name) is not None:
            _put(older, name, config.pop(name))
    for name, value in older.items():
        _put(rope, name, value)
    return {**config, ROPE: rope} if rope else config


def _put(rope: Mapped, name: str, value: Any) -> None:
    if rope.setdefault(name, value) != value:
        raise ConfigError(f"{value!r} contradicts {ROPE}.{name}={rope[name]!r}", name)
