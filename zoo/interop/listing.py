"""What opens: every foreign architecture, with its classes and the models that people know it by."""

from __future__ import annotations

from typing import NamedTuple

from zoo.interop.base import ARCHITECTURES


class Listed(NamedTuple):
    """One foreign architecture.

    Attributes:
        name: what its config calls it (`model_type`).
        opens: the published models whose files it opens.
        paper: where it was described.
        classes: its classes that open; one without a head is the base model.
        heads: our heads that any of them has.
    """

    name: str
    opens: str
    paper: str
    classes: tuple[str, ...]
    heads: tuple[str, ...]


def architectures() -> list[Listed]:
    """All that open, by name."""
    return [
        Listed(
            table.name,
            table.opens,
            table.paper,
            (*table.classes,),
            (*dict.fromkeys(head for heads in table.classes.values() for head in heads),),
        )
        for _, table in sorted(ARCHITECTURES.items())
    ]
