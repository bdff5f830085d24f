"""The `rope_parameters` that many foreign configs have, and our rotary positions.

Their `rope_type` is our kind of scaling. `dynamic` is left out: it depends on the batch. So does their `longrope`: its
list of factors is chosen by the longest row of the batch; ours is chosen by `max_position_embeddings`. The two agree on
batches with a row past the original length, and in models that were never made longer.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from zoo.config import to_mapping
from zoo.errors import ConfigError, quoted
from zoo.interop.base import Mapped, Together
from zoo.models import ModelConfig
from zoo.nn.positions.rotary import RotaryConfig
from zoo.registry import unknown_name

ROPE = "rope_parameters"
LENGTH = {"original_max_position_embeddings": "original_length"}


class Scaling(NamedTuple):
    """What a `rope_type` is with us: our kind of scaling, and its numbers, their name → ours.

    Attributes:
        kind: ours.
        required: numbers that must be given.
        optional: numbers that may be left out.
    """

    kind: str
    required: dict[str, str]
    optional: dict[str, str]

    @property
    def names(self) -> dict[str, str]:
        """All numbers."""
        return {**self.required, **self.optional}


SCALINGS = {
    "default": Scaling("none", {}, {}),
    "linear": Scaling("linear", {"factor": "factor"}, {}),
    "llama3": Scaling(
        "llama3",
        {
            "factor": "factor",
            "low_freq_factor": "low_frequency_factor",
            "high_freq_factor": "high_frequency_factor",
        },
        LENGTH,
    ),
    "yarn": Scaling(
        "yarn",
        {"factor": "factor"},
        {
            "beta_fast": "beta_fast",
            "beta_slow": "beta_slow",
            "truncate": "truncate",
            "attention_factor": "attention_factor",
            "mscale": "mscale",
            "mscale_all_dim": "mscale_all_dim",
            **LENGTH,
        },
    ),
    "longrope": Scaling(
        "longrope",
        {"short_factor": "short_factor", "long_factor": "long_factor"},
        {"attention_factor": "attention_factor", **LENGTH},
    ),
}
"""Our scaling for each `rope_type`."""

NUMBERS = tuple(dict.fromkeys(name for scaling in SCALINGS.values() for name in scaling.names))


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
    ours = {
        f"positions.scaling.{our}": f"{ROPE}.{name}" for one in SCALINGS.values() for name, our in one.names.items()
    }
    ours |= {"positions": ROPE, "positions.theta": f"{ROPE}.rope_theta", "positions.scaling": f"{ROPE}.rope_type"}
    ours |= {} if partial is None else {"positions.width": f"{ROPE}.partial_rotary_factor"}
    return Together(tuple(f"{ROPE}.{name}" for name in names), read, write, ours=ours)


def _scaling(given: Mapped, theirs: Mapped) -> Mapped:
    """The scaling with all its numbers; those that its type does not read are refused."""
    rope_type = given.pop("rope_type", "default")
    if rope_type not in SCALINGS:
        raise ConfigError(unknown_name("rope_type", rope_type, SCALINGS), f"{ROPE}.rope_type")
    scaling = SCALINGS[rope_type]
    if LENGTH.keys() <= scaling.names.keys():
        given = dict.fromkeys(LENGTH, theirs["max_position_embeddings"]) | given
    if rope_type == "longrope":
        given = _with_attention_factor(given, theirs["max_position_embeddings"])
    if idle := [name for name in given if name not in scaling.names]:
        others = f", nor is any of {', '.join(idle[1:])}" if idle[1:] else ""
        raise ConfigError(
            f"{quoted(given[idle[0]])} is not read where rope_type is {rope_type!r}{others}", f"{ROPE}.{idle[0]}"
        )
    if missing := [name for name in scaling.required if name not in given]:
        others = f", and {', '.join(missing[1:])} with it" if missing[1:] else ""
        raise ConfigError(f"rope_type {rope_type!r} needs it{others}", f"{ROPE}.{missing[0]}")
    numbers = {scaling.names[name]: value for name, value in given.items()}
    if numbers.get("factor") == 1 and "attention_factor" not in numbers:  # no scaling, in more words
        return {"positions.scaling": {"kind": "none"}}
    return {"positions.scaling": {"kind": scaling.kind, **numbers}}


def _with_attention_factor(given: Mapped, max_length: int) -> Mapped:
    """LongRoPE's `factor` acts on the attention factor alone, which is ours already where it is that of the lengths."""
    given = dict(given)
    factor, original_length = given.pop("factor", None), given["original_max_position_embeddings"]
    if factor is not None and factor != max_length / original_length:
        growth = math.log(max(factor, 1.0)) / math.log(original_length)
        given.setdefault("attention_factor", math.sqrt(1 + growth))
    return given


def _rope_type(positions: RotaryConfig) -> Mapped:
    """The scaling as theirs; raises ConfigError where there is none like it."""
    for rope_type, scaling in SCALINGS.items():
        if scaling.kind == positions.scaling.kind:
            ours = to_mapping(positions.scaling)
            numbers = {theirs: ours[name] for theirs, name in scaling.names.items() if ours[name] is not None}
            for theirs, name in scaling.required.items():
                if theirs not in numbers:
                    raise ConfigError(f"is null; a foreign config spells it out: {theirs}", f"positions.scaling.{name}")
            return {f"{ROPE}.{name}": value for name, value in {"rope_type": rope_type, **numbers}.items()}
    raise ConfigError(
        f"{positions.scaling.kind!r} has no foreign rope_type; it must be one of "
        f"{sorted(scaling.kind for scaling in SCALINGS.values())}",
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


OLDER = {"partial_rotary_factor": "rotary_pct", "rope_theta": "rotary_emb_base", "rope_type": "type"}
"""Older names of what `rope_parameters` says, that of some architectures among them."""


def modernize(config: Mapped) -> Mapped:
    """`rope_theta`, `rope_scaling` and the like of older files, as `rope_parameters`."""
    older, rope = dict(config.pop("rope_scaling", None) or {}), dict(config.pop(ROPE, None) or {})
    for group, names in (("rope_scaling", older), (ROPE, rope)):
        if "type" in names:
            _put(names, "rope_type", names.pop("type"), f"{group}.type", group)
    for name, value in older.items():
        _put(rope, name, value, f"rope_scaling.{name}")
    for name in ("rope_theta", "partial_rotary_factor"):
        if config.get(name) is not None:
            _put(rope, name, config.pop(name), name)
    return {**config, ROPE: rope} if rope else config


def _put(rope: Mapped, name: str, value: Any, said: str, group: str = ROPE) -> None:
    """Sets a number that stands in the config as `said`; raises ConfigError where another one is there already."""
    if rope.setdefault(name, value) != value:
        raise ConfigError(f"{quoted(value)} contradicts {group}.{name}={quoted(rope[name])}", said)


def as_written(name: str, config: Mapped) -> str:
    """What a config calls a field of `rope_parameters`: files have had several names for most of them.

    Args:
        name: dotted; of any field.
        config: flattened, as it stands in config.json.
    """
    group, _, last = name.partition(".")
    groups = {field.split(".")[0] for field in config}
    if group != ROPE or ROPE in groups or not groups:
        return name
    spelt = [spelling for one in (last, OLDER.get(last, last)) for spelling in (f"rope_scaling.{one}", one)]
    usual = "rope_scaling" if "rope_scaling" in groups else ROPE
    return next((one for one in spelt if one in config), f"{usual}.{last}" if last else usual)
