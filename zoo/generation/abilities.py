"""What each family of models can do with text."""

from __future__ import annotations

from collections.abc import Mapping

from zoo.errors import ZooError

ABILITIES: Mapping[str, tuple[str, ...]] = {
    "encoder": ("fill", "score", "embed"),
    "decoder": ("generate", "score", "embed"),
    "encoder_decoder": ("fill", "generate", "score", "embed"),
}
"""Family → names of methods of `Pretrained`."""
PYTHON_ONLY = ("embed",)
"""Those of them that no verb of the command line has."""


def require(kind: str, ability: str) -> None:
    """Raises ZooError, with what can be done instead, where models of a family cannot do it.

    Args:
        kind: the family.
        ability: a name in ABILITIES.
    """
    able = ABILITIES.get(kind, ())
    if ability not in able:
        families = [family for family, abilities in ABILITIES.items() if ability in abilities]
        others = " or ".join(f"an {name}" if name[0] in "aeiou" else f"a {name}" for name in families)
        verbs = " or ".join(name for name in able if name not in PYTHON_ONLY)
        methods = "".join(f", or model.{name}(…) in Python" for name in able if name in PYTHON_ONLY)
        instead = f"use {verbs}{methods}" if able else "it takes and gives tensors"
        raise ZooError(f"model {kind!r} cannot {ability}; {instead}, or load {others}")
