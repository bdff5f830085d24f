"""What fields of a foreign config may hold that are computed with before our own config sees them.

A field that is read as it is gets checked by our setting (`faults.py`). These are read several at once, or bring older
spellings into today's: they are checked first, so that nothing computes with what is no number. A name means the same
in every architecture that has it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from zoo.errors import ConfigError, quoted
from zoo.field_types import check_value
from zoo.interop.base import Mapped

GROUPS = frozenset({"rope_parameters", "rope_scaling"})
"""Fields with fields of their own."""


class Kind(NamedTuple):
    """What a field may hold.

    Attributes:
        type: of its value. bounds: as our settings have them (minimum, above, …).
    """

    type: Any
    bounds: Mapping[str, Any]


def _rope(names: tuple[str, ...], kind: Kind) -> dict[str, Kind]:
    """The same for some numbers of `rope_parameters`."""
    return {f"rope_parameters.{name}": kind for name in names}


WIDTH, COUNT = Kind(int, {"minimum": 1}), Kind(int, {"minimum": 0})
SHARE, BASE = Kind(float | None, {"above": 0, "maximum": 1}), Kind(float | None, {"above": 0})

KINDS: Mapping[str, Kind] = {
    "first_k_dense_replace": COUNT,
    "global_attn_every_n_layers": WIDTH,
    "global_rope_theta": BASE,
    "intermediate_size": WIDTH,
    "local_attention": WIDTH,
    "local_rope_theta": BASE,
    "max_position_embeddings": WIDTH,
    "moe_intermediate_size": WIDTH,
    "partial_rotary_factor": SHARE,
    "qk_nope_head_dim": COUNT,
    "qk_rope_head_dim": WIDTH,
    "query_pre_attn_scalar": Kind(float, {"above": 0}),
    "rope_theta": BASE,
    "rotary_emb_base": BASE,
    "rotary_pct": SHARE,
    "sliding_window": Kind(int | None, {"minimum": 0}),
    **_rope(("rope_type",), Kind(str | None, {})),
    **_rope(("rope_theta", "factor"), BASE),
    **_rope(("mscale", "mscale_all_dim", "attention_factor"), Kind(float | None, {"minimum": 0})),
    **_rope(("original_max_position_embeddings",), Kind(int | None, {"minimum": 1})),
    **_rope(("partial_rotary_factor",), SHARE),
}
"""The numbers and names."""


def check_kinds(config: Mapped) -> list[ConfigError]:
    """An error for each field of a foreign config, as it stands there or flattened, that no model can have."""
    errors = []
    for name, value in config.items():
        try:
            check_kind(name, value)
        except ConfigError as error:
            errors.append(error)
    return errors


def check_kind(name: str, value: Any) -> None:
    """Raises ConfigError, by the name, where a field holds what it never should."""
    if name == "architectures":
        if value is not None and not (isinstance(value, list | tuple) and all(isinstance(one, str) for one in value)):
            raise ConfigError(f"{quoted(value)} is no list of classes", name)
    elif name in GROUPS:
        if value is not None and not isinstance(value, Mapping):
            raise ConfigError(f"{quoted(value)} is no group of fields; it must be {{name: value, …}} or null", name)
    elif name in KINDS:
        try:
            check_value(KINDS[name].type, value, KINDS[name].bounds)
        except ConfigError as error:
            raise ConfigError(error.reason, name) from None
