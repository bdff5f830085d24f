"""The choices of the block library as axes, cells of one choice each, and small arrays of cells that hold every pair.

Everything is read from the registries when it is asked for, so what is registered tomorrow is enumerated tomorrow.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from zoo.errors import ConfigError
from zoo.heads import HeadConfig
from zoo.models import ModelConfig
from zoo.models.create import model_config
from zoo.nn.attend import KERNELS
from zoo.nn.feed_forward import ACTIVATIONS
from zoo.nn.init import InitializationConfig
from zoo.nn.norm import NormConfig
from zoo.nn.positions import PositionsConfig
from zoo.nn.residual import PLACEMENTS

Cell = dict[str, Any]
Axes = Mapping[str, tuple[Any, ...]]
Pair = tuple[tuple[str, Any], tuple[str, Any]]

NUM_HEADS = 4
VOCAB_SIZE = 23

# what a cell has where it does not say otherwise; on the other axes it is the first choice
PLAIN: Cell = {
    "kernel": "reference",
    "num_kv_heads": None,
    "initialization": "xavier",
    "query_key_norm": None,
    "cap": None,
    "window": None,
    "head_dim": 4,
    "head": "language_model",
}

# the axes whose full product the slow suite runs
PRODUCT = ("family", "positions", "placement", "norm", "feed_forward", "kernel")


def axes() -> Axes:
    """Every choice of every axis, as registered now."""
    return {
        "family": tuple(ModelConfig.choices),
        "positions": tuple(PositionsConfig.choices),
        "placement": tuple(PLACEMENTS),
        "norm": tuple(NormConfig.choices),
        "feed_forward": (*itertools.product(("plain", "gated"), ACTIVATIONS), ("none",)),
        "kernel": tuple(KERNELS),
        "num_kv_heads": (None, 1, 2),
        "initialization": tuple(InitializationConfig.choices),
        "query_key_norm": (None, *NormConfig.choices),
        "cap": (None, 2.0),
        "window": (None, 2),
        "head_dim": (4, 5),  # 4 heads of 4 fill the width of 16; 5 is odd and does not
        "head": tuple(HeadConfig.choices),
    }


def config_of(cell: Cell) -> ModelConfig:
    """A tiny model with the choices of the cell; raises ConfigError where they do not go together."""
    choice = {name: values[0] for name, values in axes().items()} | PLAIN | cell
    feed_forward = dict(zip(("kind", "activation"), choice["feed_forward"], strict=False))
    return model_config(
        {
            "kind": choice["family"],
            "dim": 16,
            "num_layers": 2,
            "num_heads": NUM_HEADS,
            "num_kv_heads": choice["num_kv_heads"],
            "head_dim": choice["head_dim"],
            "feed_forward_dim": 24 if feed_forward["kind"] != "none" else None,
            "max_length": 32,
            "vocab_size": VOCAB_SIZE,
            "positions": choice["positions"],
            "placement": choice["placement"],
            "norm": choice["norm"],
            "feed_forward": feed_forward,
            "attention": {name: choice[name] for name in ("kernel", "query_key_norm", "cap", "window")},
            "initialization": choice["initialization"],
            "heads": {"main": choice["head"]},
        }
    )


def refusal(cell: Cell) -> str | None:
    """Why no model has these choices, whatever else it has; None where one does."""
    choices = axes()
    others = [{axis: value} for axis in choices if axis not in cell for value in choices[axis]]
    reasons = []
    for other in ({}, *others):
        try:
            config_of(cell | other)
            return None
        except ConfigError as error:
            reasons.append(str(error))
    return reasons[0]


def name_of(cell: Cell) -> str:
    """A readable name: the choices that differ from the plain ones."""
    named = {axis: value for axis, value in cell.items() if axis not in PLAIN or value != PLAIN[axis]}
    words = (
        "/".join(value) if isinstance(value, tuple) else value if axis not in PLAIN else f"{axis}={value}"
        for axis, value in named.items()
    )
    return "-".join(str(word) for word in words)


def product(choices: Axes, names: Iterable[str]) -> Iterator[Cell]:
    """Every combination of the named axes."""
    names = tuple(names)
    for values in itertools.product(*(choices[name] for name in names)):
        yield dict(zip(names, values, strict=True))


def pairs(choices: Axes) -> list[Pair]:
    """Every pair of choices of two different axes."""
    return [
        ((one, left), (other, right))
        for one, other in itertools.combinations(choices, 2)
        for left in choices[one]
        for right in choices[other]
    ]


def pairs_of(cell: Cell) -> set[Pair]:
    """The pairs that a cell holds; a cell names its axes in the order of `axes()`."""
    return set(itertools.combinations(cell.items(), 2))


def pairwise(choices: Axes, refused: Callable[[Cell], bool]) -> tuple[list[Cell], list[Pair]]:
    """Few cells that together hold every pair of choices that is not refused by itself, and the pairs that are.

    Greedy: a cell starts from the first pair still missing and takes, axis by axis, the choice that adds most missing
    pairs to those it has, among those that no refused pair forbids. The same choices give the same cells.
    """
    illegal = {pair for pair in pairs(choices) if refused(dict(pair))}
    missing = dict.fromkeys(pair for pair in pairs(choices) if pair not in illegal)
    cells = []
    while missing:
        cell = dict(next(iter(missing)))
        for axis in sorted(choices, key=lambda name: -len(choices[name])):
            if axis not in cell:
                cell[axis] = _best(axis, choices, cell, missing, illegal)
        cell = {axis: cell[axis] for axis in choices}
        cells.append(cell)
        for pair in pairs_of(cell):
            missing.pop(pair, None)
    return cells, sorted(illegal, key=str)


def _best(axis: str, choices: Axes, cell: Cell, missing: Mapping[Pair, Any], illegal: set[Pair]) -> Any:
    order = list(choices)

    def with_others(value: Any) -> list[Pair]:
        mine = (axis, value)
        return [(mine, other) if order.index(axis) < order.index(other[0]) else (other, mine) for other in cell.items()]

    legal = [value for value in choices[axis] if not illegal.intersection(with_others(value))]
    assert legal, f"no {axis} goes with {cell}"
    return max(legal, key=lambda value: sum(pair in missing for pair in with_others(value)))
