"""What differs between two models or two runs, as rows of tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from zoo.cli.screen import written
from zoo.config import Config, difference
from zoo.models import Model
from zoo.models.anatomy import cost_rows, part_rows

ABSENT = "–"
"""Stands for a setting, or a part, that one side does not have."""


def setting_rows(one: Config, other: Config) -> Iterator[tuple[str, str, str]]:
    """(dotted key, value in the one, value in the other) for each setting that differs."""
    from zoo.config import flatten, to_mapping

    sides = [flatten(to_mapping(config)) for config in (one, other)]
    for key, _, _ in difference(one, other):
        left, right = (written(side[key]) if key in side else ABSENT for side in sides)
        yield key, left, right


def count_rows(one: Model, other: Model) -> Iterator[tuple[str, Any, Any, str]]:
    """(part, parameters in the one, in the other, by how much there are more in the other) where they differ.

    The total comes last, whether it differs or not.
    """
    sides = [dict(_paths(model)) for model in (one, other)]
    for path in dict.fromkeys([*sides[0], *sides[1]]):
        left, right = (side.get(path) for side in sides)
        if left != right:
            yield " / ".join(path), left, right, _more(left or 0, right or 0)
    totals = one.num_parameters, other.num_parameters
    yield "total", *totals, _more(*totals)


def _paths(model: Model) -> Iterator[tuple[tuple[str, ...], int]]:
    """Each part by the names of those that it is in, and its parameters."""
    path: list[str] = []
    for label, count, _ in part_rows(model)[:-1]:
        depth = (len(label) - len(label.lstrip())) // 2
        path = [*path[:depth], label.strip().partition(" × ")[0]]
        yield tuple(path), count


def _more(left: int, right: int) -> str:
    return f"{100 * (right - left) / left:+.1f} %" if left else ""


def cost_difference(one: Model, other: Model) -> Iterator[tuple[str, str, str]]:
    """(cost, of the one, of the other), those that are equal too."""
    left, right = dict(cost_rows(one)), dict(cost_rows(other))
    for name in dict.fromkeys([*left, *right]):
        yield name, left.get(name, ABSENT), right.get(name, ABSENT)
