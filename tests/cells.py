"""The choices of the block library as axes, cells of one choice each, and small arrays of cells that hold every pair.

Everything is read from the config classes and registries when it is asked for: a new kind, a new field with
alternatives, a new row of a table is an axis or a value of one the same day.

An axis is the dotted path of a field with alternatives, a value one of its alternatives by name: a kind, a literal,
true or false, a sample of an optional number. A *variant* is a kind with one of its own fields changed
("rotary/layout=interleaved"); variants are tested one by one, kinds in all pairs.
"""

import dataclasses
import functools
import itertools
import re
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from tests.nn.attend.cases import differentiable
from zoo.config import Config, build, merged
from zoo.errors import ConfigError
from zoo.heads import HeadConfig
from zoo.models import ModelConfig
from zoo.nn.attend import KERNELS
from zoo.nn.feed_forward import ACTIVATIONS
from zoo.nn.residual import PLACEMENTS
from zoo.registry import Choice, Registry

Cell = dict[str, str]
Settings = dict[str, Any]
Axes = Mapping[str, tuple[str, ...]]
Pair = tuple[tuple[str, str], tuple[str, str]]

NUM_HEADS = 4
VOCAB_SIZE = 23

PLAIN: Settings = {
    "kind": "encoder",
    "dim": 16,
    "num_layers": 2,
    "num_heads": NUM_HEADS,
    "head_dim": 4,
    "max_length": 32,
    "vocab_size": VOCAB_SIZE,
    "attention": {"kind": "multi_head", "kernel": "reference"},
    "initialization": {"kind": "xavier"},
    "heads": {"main": {"kind": "language_model"}},
}
"""What a cell's model is where the cell does not say otherwise; the rest are the defaults of the config."""

NO_AXIS = {
    "dropout": "the laws are stated without",
    "vocab_size": "a size",
    "feed_forward_dim": "a size",
    "embedding.num_segments": "a size; segments have tests of their own",
}
"""Fields with alternatives that are no axis, and why."""

REFUSED_ALONE = {
    "heads": ("language_model/transform_bias=False",),  # a bias of a layer that is not there
    "attention": ("latent/latent_norm=batch_norm",),
    "attention.query_key_norm": ("on/norm=batch_norm", "on/norm=none"),
    "attention.differential": ("on/norm=batch_norm",),
    "attention.kernel": tuple(name for name in KERNELS if name not in differentiable()),  # they need a GPU
}
"""Kinds that no model can have at this place, whatever else it has; the tests of their files say so."""

SAMPLES: dict[str, tuple[Any, ...]] = {
    "head_dim": (4, 5),  # 4 heads of 4 fill the width of 16; 5 is odd and does not
    "num_kv_heads": (None, 1, 2),
    "DifferentialConfig.lambda_init": (None, 0.5),
    "MegatronInitializationConfig.std": (None, 0.1),  # 2, as for other numbers, makes models that explode
    "layers": ({}, {"1": {"attention": {"window": 3}}}),
    "decoder": ({}, {"num_layers": 4}),
}
"""Values of fields whose type does not tell which ones make a difference."""

COMPANIONS: dict[str, Settings] = {"sharing": {"num_layers": 4}}
"""What a model needs besides, where an axis is not at its default."""

NEEDED: dict[str, Settings] = {
    "LongRopeScalingConfig": {"original_length": 16, "long_factor": [2.0, 3.0]},  # one for each pair of a head of 4
}
"""What a kind cannot be without."""

REGISTRIES: tuple[Registry[Any], ...] = (ACTIVATIONS, KERNELS, PLACEMENTS)
"""Names that text fields choose from."""

ABSENT = object()
"""What an axis is at in a model that does not have it."""

PRODUCT = ("family", "positions", "placement", "norm", "feed_forward", "attention.kernel")
"""The axes whose full product the slow suite runs."""


# -------------------------------------------------------------------------------------------------- axes from configs


class Found(typing.NamedTuple):
    """One value of an axis: its name and the settings that it stands for."""

    name: str
    settings: Settings


def axes(with_variants: bool = False) -> Axes:
    """Every axis with its kinds and other values, as registered now, with or without the variants."""
    return {
        axis: tuple(v.name for v in values if with_variants or "/" not in v.name) for axis, values in _values().items()
    }


def variants() -> list[Cell]:
    """Every variant as a cell of its own."""
    return [{axis: v.name} for axis, values in _values().items() for v in values if "/" in v.name]


def _values() -> dict[str, tuple[Found, ...]]:
    """Found anew only when something was registered."""
    kinds = [(base.noun, *base.choices) for base in _subclasses(Choice) if "noun" in vars(base)]
    return _values_of(tuple(kinds), tuple((registry.noun, *registry) for registry in REGISTRIES))


@functools.lru_cache(maxsize=2)
def _values_of(kinds: object, names: object) -> dict[str, tuple[Found, ...]]:
    found = {"family": tuple(Found(kind, {"kind": kind}) for kind in ModelConfig.choices)}
    for family in ModelConfig.choices.values():
        for axis, values in _axes_of(family, ""):
            refused = REFUSED_ALONE.get(axis, ())
            legal = (v for v in values if v.name not in refused and v.name.partition("/")[0] not in refused)
            found.setdefault(axis, tuple(legal))
    found["heads"] = tuple(
        Found(name, {"heads": {"main": value}})
        for name, value in _kinds(HeadConfig, optional=False, deep=True)
        if name not in REFUSED_ALONE["heads"]
    )
    return found


def _axes_of(schema: type[Config], prefix: str) -> Iterator[tuple[str, list[Found]]]:
    """The axes of a config class; groups are entered, and what all kinds of a choice share is an axis of its own."""
    hints = typing.get_type_hints(schema)
    for field in dataclasses.fields(schema):
        path, kind = f"{prefix}{field.name}", hints[field.name]
        inner = _config_in(kind)
        if path in NO_AXIS or field.name == "heads":
            continue
        if inner is not None and not issubclass(inner, Choice) and not _is_optional(kind):
            yield from _axes_of(inner, f"{path}.")
            continue
        values = [Found(name, _nested(path, value)) for name, value in _alternatives(path, kind, field)]
        if len(values) > 1:
            yield path, values
        if inner is not None and issubclass(inner, Choice):
            yield from _axes_of(inner, f"{path}.")


def _alternatives(path: str, kind: Any, field: Any, deep: bool = True) -> list[tuple[str, Any]]:
    """(name, value) of everything that a field may be."""
    if path in SAMPLES:
        return [(_short(value), value) for value in SAMPLES[path]]
    inner = _config_in(kind)
    if inner is not None:
        return _kinds(inner, _is_optional(kind), deep)
    arguments = typing.get_args(kind) or (kind,)
    if typing.get_origin(kind) is typing.Literal:
        return [(_short(value), value) for value in arguments]
    found: list[Any] = []
    for argument in arguments if typing.get_origin(kind) in (types.UnionType, typing.Union) else (kind,):
        if argument is type(None):
            found.append(None)
        elif typing.get_origin(argument) is typing.Literal:
            found += typing.get_args(argument)
        elif argument is bool:
            found += [False, True]
        elif argument is str:
            found += _names_of(path)
        elif argument in (int, float) and len(arguments) > 1:  # beside null or names; a mere number is no alternative
            found.append(argument(2))
    return [(_short(value), value) for value in found]


def _kinds(base: type[Config], optional: bool, deep: bool) -> list[tuple[str, Any]]:
    """(name, settings) of every kind of a choice or of an optional group and, with `deep`, of its variants."""
    choice = issubclass(base, Choice)
    classes = [*base.choices.values()] if choice else [base]  # type: ignore[attr-defined]
    shared = {field.name for field in dataclasses.fields(base)} if choice else set()
    found: list[tuple[str, Any]] = [("None", None)] if optional else []
    for schema in classes:
        name, kind = (schema.kind, {"kind": schema.kind, **NEEDED.get(schema.__name__, {})}) if choice else ("on", {})
        found.append((name, kind))
        hints = typing.get_type_hints(schema)
        for field in dataclasses.fields(schema) if deep else ():
            if field.name in shared:
                continue
            path = f"{schema.__name__}.{field.name}"
            usual = field.default if field.default is not dataclasses.MISSING else None
            for value_name, value in _alternatives(path, hints[field.name], field, deep=False):
                if value != usual and value_name != getattr(usual, "kind", None):
                    found.append((f"{name}/{field.name}={value_name}", {**kind, field.name: value}))
    return found


def _names_of(path: str) -> list[str]:
    """The legal names of a text field, as its refusal lists them."""
    for build_with in (_model_with, _part_with):
        try:
            build_with(path, "no such name")
        except ConfigError as error:
            if "legal: " in str(error) and " key " not in error.reason:
                return re.findall(r"\w+", str(error).partition("legal: ")[2])
    return []


def _model_with(path: str, value: Any) -> None:
    build(ModelConfig, merged(PLAIN, _nested(path, value)))


def _part_with(path: str, value: Any) -> None:
    """`path` is "ClassName.field"."""
    name, _, field = path.rpartition(".")
    for schema in _subclasses(Config):
        if schema.__name__ == name:
            build(schema, {field: value})


def _subclasses(base: type[Any]) -> Iterator[type[Any]]:
    for child in base.__subclasses__():
        yield child
        yield from _subclasses(child)


def _config_in(kind: Any) -> type[Config] | None:
    candidates = [a for a in (kind, *typing.get_args(kind)) if isinstance(a, type) and issubclass(a, Config)]
    return candidates[0] if candidates and typing.get_origin(kind) is not dict else None


def _is_optional(kind: Any) -> bool:
    return type(None) in typing.get_args(kind)


def _nested(path: str, value: Any) -> Settings:
    for name in reversed(path.split(".")):
        value = {name: value}
    assert isinstance(value, dict)
    return value


def _short(value: Any) -> str:
    return "changed" if isinstance(value, dict) and value else str(value)


# ------------------------------------------------------------------------------------------------------ cells to models


def config_of(cell: Cell) -> ModelConfig:
    """A tiny model with the choices of the cell; raises ConfigError where they do not go together."""
    config = build(ModelConfig, settings_of(cell))
    assert isinstance(config, ModelConfig)
    return config


def settings_of(cell: Cell) -> Settings:
    """The settings of a cell's model."""
    values = {axis: {value.name: value.settings for value in found} for axis, found in _values().items()}
    settings = {**PLAIN, "kind": cell.get("family", PLAIN["kind"])}
    for axis in sorted(cell, key=lambda axis: axis.count(".")):  # kinds before what stands in them
        if axis != "family" and cell[axis] != default_of(
            axis
        ):  # some axes are of one family only: elsewhere they are at their default
            settings = merged(merged(settings, values[axis][cell[axis]]), COMPANIONS.get(axis, {}))
    return settings


@functools.cache
def default_of(axis: str) -> str:
    """The name of the value that a model of no particular cell has."""
    if axis in ("family", "heads"):
        return "encoder" if axis == "family" else "language_model"
    for family in ModelConfig.choices:
        value: Any = build(ModelConfig, {**PLAIN, "kind": family})
        for name in axis.split("."):
            value = getattr(value, name, ABSENT)
        if value is not ABSENT:
            return str(getattr(value, "kind", _short(value)))
    raise AssertionError(f"no family has {axis}")


def needs(cell: Cell, depth: int = 3) -> Cell:
    """The cell with what it needs besides; raises ConfigError where no model has these choices.

    What is tried are the families, and the values of the axes that the refusal speaks of.
    """
    try:
        config_of(cell)
        return cell
    except ConfigError as error:
        if not depth:
            raise
        refusal = error
    words = set(re.findall(r"\w+", str(refusal)))
    for axis, values in axes(with_variants=True).items():
        if axis not in cell and (axis == "family" or axis.split(".")[-1] in words):
            for value in values:
                try:
                    config_of(cell | {axis: value})
                    return cell | {axis: value}
                except ConfigError as error:
                    if not _clauses(refusal) <= _clauses(error):
                        with_more = _try(cell | {axis: value}, depth - 1)
                        if with_more is not None:
                            return with_more
    raise refusal


def _clauses(refusal: ConfigError) -> set[str]:
    """What a refusal says, bit by bit: a choice after which all of it is said again has not helped."""
    return set(str(refusal).split("; "))


def _try(cell: Cell, depth: int) -> Cell | None:
    try:
        return needs(cell, depth)
    except ConfigError:
        return None


def refusal(cell: Cell) -> str | None:
    """Why no model has these choices, whatever else it has; None where one does."""
    _values()  # counts what was registered since
    return _refusal(tuple(cell.items()), _values_of.cache_info().misses)


@functools.cache
def _refusal(items: tuple[tuple[str, str], ...], version: int) -> str | None:
    """`version` counts changes of the registries."""
    try:
        needs(dict(items))
        return None
    except ConfigError as error:
        return str(error)


def is_refused(cell: Cell) -> bool:
    """Whether no model has these choices. A default beside a choice that needs nothing else is known to be legal."""
    unusual = {axis: value for axis, value in cell.items() if value != default_of(axis)}
    if len(unusual) < 2 and _stands_alone(tuple(unusual.items()), _values_of.cache_info().misses):
        return False
    return refusal(cell) is not None


@functools.cache
def _stands_alone(items: tuple[tuple[str, str], ...], version: int) -> bool:
    """Whether these choices build with defaults for the rest; `version` counts changes of the registries."""
    return builds(dict(items))


def builds(cell: Cell) -> bool:
    """Whether these choices go together as they are, with defaults for the rest."""
    return _try(cell, 0) is not None


def name_of(cell: Cell) -> str:
    """A readable name: the choices that differ from the plain ones."""
    words = (f"{axis}={value}" for axis, value in cell.items() if value != default_of(axis) and axis != "family")
    return "-".join([cell.get("family", "encoder"), *words])


# ------------------------------------------------------------------------------------------------------ covering arrays


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


def pairwise(
    choices: Axes,
    refused: Callable[[Cell], bool],
    builds: Callable[[Cell], bool] = lambda cell: True,
    with_needs: Callable[[Cell], Cell] = lambda cell: cell,
) -> tuple[list[Cell], list[Pair]]:
    """Few cells that together hold every pair of choices that is not refused by itself, and the pairs that are.

    Greedy: a cell starts from the first pair still missing and takes, axis by axis, the choice that adds most missing
    pairs to those it has, among those that no refused pair forbids and with which the cell still builds. The same
    choices give the same cells.
    """
    illegal = {pair for pair in pairs(choices) if refused(dict(pair))}
    missing = dict.fromkeys(pair for pair in pairs(choices) if pair not in illegal)
    cells = []
    while missing:
        cell = with_needs(dict(next(iter(missing))))
        for axis in sorted(choices, key=lambda name: -len(choices[name])):
            if axis not in cell:
                cell[axis] = _best(axis, choices, cell, missing, illegal, builds)
        cell = {axis: cell[axis] for axis in choices}
        cells.append(cell)
        for pair in pairs_of(cell):
            missing.pop(pair, None)
    return cells, sorted(illegal, key=str)


def _best(
    axis: str,
    choices: Axes,
    cell: Cell,
    missing: Mapping[Pair, Any],
    illegal: set[Pair],
    builds: Callable[[Cell], bool],
) -> str:
    order = list(choices)

    def with_others(value: str) -> list[Pair]:
        mine = (axis, value)
        return [(mine, other) if order.index(axis) < order.index(other[0]) else (other, mine) for other in cell.items()]

    legal = [value for value in choices[axis] if not illegal.intersection(with_others(value))]
    legal.sort(key=lambda value: -sum(pair in missing for pair in with_others(value)))
    for value in legal:
        if builds(cell | {axis: value}):
            return value
    raise AssertionError(f"no {axis} goes with {cell}")
