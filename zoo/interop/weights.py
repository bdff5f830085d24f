"""The weights of a foreign model to ours and back, by the tables. Pure functions of named tensors."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from zoo.checkpoint.model import listed
from zoo.errors import CheckpointError
from zoo.interop.attempt import write_config
from zoo.interop.base import ARCHITECTURES, Architecture, Rule, is_base_model
from zoo.interop.configs import read_config
from zoo.interop.layouts import Layout
from zoo.models import ModelConfig

Weights = Mapping[str, Tensor]
Shapes = dict[str, torch.Size]
NamedTensor = tuple[list[str], Tensor]
"""All names of a tensor of ours, and the tensor."""
OTHER_WEIGHTS = "these weights are not those of this config"


class Link(NamedTuple):
    """A foreign tensor and those of ours that hold the same numbers, by name.

    Attributes:
        foreign, ours: their names.
        layout: how the one holds the others.
    """

    foreign: str
    ours: tuple[str, ...]
    layout: Layout


class Plan(NamedTuple):
    """Everything that is needed to move the weights of one config, in either direction.

    Attributes:
        links: together they name each of our tensors once.
        ours, foreign: shapes by name, of parameters and of what else a state dict holds.
        our_copies, foreign_copies: further names of shared tensors: copy → the name in `ours` or `foreign`.
    """

    links: list[Link]
    ours: Shapes
    foreign: Shapes
    our_copies: dict[str, str]
    foreign_copies: dict[str, str]


def to_zoo(architecture: str, weights: Weights, config: Mapping[str, Any]) -> dict[str, Tensor]:
    """Our weights of a foreign model, for `read_config(architecture, config, weights).build_unset().load_state_dict`.

    Args:
        architecture: a name of ARCHITECTURES.
        weights: the foreign state dict; shared tensors may be there once or under each of their names.
        config: the foreign config as plain data.

    Returns:
        Tensors by our names, shared ones under each of theirs; dtypes and devices as given, some are views.

    Raises:
        CheckpointError: weights that are missing, left over, of another shape, or shared but not equal: all of them.
        ConfigError: the config is not covered.
    """
    table = ARCHITECTURES[architecture]
    plan = plan_of(table, read_config(architecture, config, weights))
    weights = {known: weights[name] for name, known in placed(table, plan, within(table, config, weights)).items()}
    given = _checked(weights, plan.foreign, plan.foreign_copies, f"these weights are not those of this {architecture}")
    return {name: part for _, parts in to_ours(plan, given.__getitem__) for names, part in parts for name in names}


def left_out(architecture: str, names: Iterable[str], config: Mapping[str, Any]) -> list[str]:
    """The tensors of a foreign file that hold weights and that our model of its config has no place for.

    Args:
        architecture: a name of ARCHITECTURES.
        names: of the tensors in the file.
        config: the foreign config as plain data.
    """
    table = ARCHITECTURES[architecture]
    names = [*names]
    plan, inside = plan_of(table, read_config(architecture, config, names)), within(table, config, names)
    spelled = _names_of_table(table, plan, inside)
    unused = [name for name in spelled if not _is_used(plan, spelled[name]) and _is_optional(table, spelled[name])]
    return [name for name in names if name in unused or name not in inside]


def from_zoo(architecture: str, weights: Weights, config: ModelConfig) -> dict[str, Tensor]:
    """The foreign weights of our model, for the model that `write_config(architecture, config)` describes.

    Args:
        architecture: a name of ARCHITECTURES.
        weights: the state dict of our model.
        config: our model.

    Returns:
        Tensors by foreign names, shared ones under each of theirs; dtypes and devices as given.

    Raises:
        CheckpointError: weights that are missing, left over, of another shape, or shared but not equal: all of them.
        ConfigError: the architecture has no place for a setting.
    """
    write_config(architecture, config)
    plan = plan_of(ARCHITECTURES[architecture], config)
    result = {name: tensor.contiguous() for name, tensor in to_foreign(plan, checked_ours(plan, weights).__getitem__)}
    return result | {copy: result[name] for copy, name in plan.foreign_copies.items()}


def to_ours(
    plan: Plan, get: Callable[[str], Tensor], only: Container[str] | None = None
) -> Iterator[tuple[Tensor, list[NamedTensor]]]:
    """Each foreign tensor and those of ours that it holds, one after the other.

    Args:
        plan: which tensor is which.
        get: the foreign tensor of a name in `plan.foreign`; asked for when its turn comes.
        only: of the foreign tensors, those that are wanted; None: all.
    """
    names: dict[str, list[str]] = {name: [name] for name in plan.ours}
    for copy, name in plan.our_copies.items():
        names[name].append(copy)
    for link in plan.links:
        if only is None or link.foreign in only:
            whole = get(link.foreign)
            parts = link.layout.to_ours(whole, [plan.ours[name] for name in link.ours])
            yield whole, [(names[name], part) for name, part in zip(link.ours, parts, strict=True)]


def to_foreign(
    plan: Plan, get: Callable[[str], Tensor], only: Container[str] | None = None
) -> Iterator[tuple[str, Tensor]]:
    """Each foreign tensor with its name, made of ours, one after the other; shared ones under one of theirs.

    Args:
        plan: which tensor is which.
        get: our tensor of a name in `plan.ours`; asked for when its turn comes.
        only: of the foreign tensors, those that are wanted; None: all.
    """
    for link in plan.links:
        if only is None or link.foreign in only:
            yield link.foreign, link.layout.to_foreign([get(name) for name in link.ours])


def changed_weights(weights: Weights, config: ModelConfig, changed: ModelConfig) -> Weights:
    """The weights of our model for its config as `attempt` changed it: without spare rows, with biases of zeros.

    Args:
        weights: the state dict of our model.
        config: our model.
        changed: what it becomes.

    Raises:
        CheckpointError: the weights are not those of `config`: everything that does not fit.
    """
    if changed == config:
        return weights
    _checked(weights, *_tensors(config), OTHER_WEIGHTS)
    like, result = next(iter(weights.values())), dict(weights)
    shapes, copies = _tensors(changed)
    for name, shape in {**shapes, **{copy: shapes[known] for copy, known in copies.items()}}.items():
        if name in weights and weights[name].shape != shape:
            result[name] = weights[name][: shape[0]]
        elif name not in weights:  # of a setting whose parameters add nothing while they are zero
            result[name] = torch.zeros(shape, dtype=like.dtype, device=like.device)
    return result


def plan_of(table: Architecture, config: ModelConfig) -> Plan:
    """Which tensor goes where, for a model of this config."""
    ours, our_copies = _tensors(config)
    links: list[Link] = []
    foreign_copies: dict[str, str] = {}
    prefix = f"{table.prefix}." if is_base_model(config) else ""  # which a base model's own names lack
    for rule in table.weights(config):
        for link, copies in _links(rule, ours):
            links.append(link._replace(foreign=link.foreign.removeprefix(prefix)))
            foreign_copies |= {copy.removeprefix(prefix): links[-1].foreign for copy in copies}
    claimed = [name for link in links for name in link.ours]
    if sorted(claimed) != sorted(ours):
        homeless, twice = sorted({*ours} - {*claimed}), sorted({n for n in claimed if claimed.count(n) > 1})
        raise CheckpointError(f"{table.name} has no weight for {_listed(homeless)}; several for {_listed(twice)}")
    foreign = {link.foreign: _foreign_shape(link, ours) for link in links}
    return Plan(links, ours, foreign, our_copies, foreign_copies)


OLDER_KINDS = {"gamma": "weight", "beta": "bias"}
"""What the tensors of norms are called in files that came from TensorFlow."""


def placed(table: Architecture, plan: Plan, names: Iterable[str]) -> dict[str, str]:
    """Names in a file → those that the table has for them, but for those that hold no weight."""
    spelled = _names_of_table(table, plan, names)
    return {name: known for name, known in spelled.items() if _has_place(table, plan, known)}


def within(table: Architecture, config: Mapping[str, Any], names: Collection[str]) -> list[str]:
    """The names in a file but for those in modules that are no part of the model of this foreign config."""
    apart = tuple(f"{module}." for module in table.apart(dict(config), names))
    return [name for name in names if not name.startswith(apart)]


def _names_of_table(table: Architecture, plan: Plan, names: Iterable[str]) -> dict[str, str]:
    """Names in a file → those that the table has for them: with or without the prefix, older kinds as today's.

    A name that is unknown in every spelling, or whose tensor is there in another one too, stays what it is.
    """
    given, taken = [*names], {*names}
    result: dict[str, str] = {}
    for name in given:
        known = sorted(
            (other for other in _spellings(name, table.prefix) if _is_known(table, plan, other)),
            key=lambda other: not _is_used(plan, other),
        )
        spelled = next((other for other in known if other == name or other not in taken), name)
        taken.add(spelled)
        result[name] = spelled
    return result


def _spellings(name: str, prefix: str) -> Iterable[str]:
    stem, _, kind = name.rpartition(".")
    for spelled in (name, *([f"{stem}.{OLDER_KINDS[kind]}"] if kind in OLDER_KINDS else [])):
        yield from (spelled, f"{prefix}.{spelled}", spelled.removeprefix(f"{prefix}.")) if prefix else (spelled,)


def _is_known(table: Architecture, plan: Plan, name: str) -> bool:
    return _is_used(plan, name) or _is_ignored(table, name) or _is_optional(table, name)


def _has_place(table: Architecture, plan: Plan, name: str) -> bool:
    """Whether a tensor goes somewhere, or is one that should not be there."""
    return _is_used(plan, name) or not (_is_ignored(table, name) or _is_optional(table, name))


def _is_used(plan: Plan, name: str) -> bool:
    return name in plan.foreign or name in plan.foreign_copies


def _is_ignored(table: Architecture, name: str) -> bool:
    return any(_pattern(ignored).fullmatch(name) for ignored in table.ignored)


def _is_optional(table: Architecture, name: str) -> bool:
    return name.rpartition(".")[0] in table.optional


def _tensors(config: ModelConfig) -> tuple[Shapes, dict[str, str]]:
    """Shapes of the tensors of our state dict by name, and the further names of shared ones."""
    with torch.device("meta"):
        model = config.build_unset()
    shapes: Shapes = {}
    first: dict[int, str] = {}
    copies: dict[str, str] = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        if id(tensor) in first:
            copies[name] = first[id(tensor)]
        else:
            first[id(tensor)] = name
            shapes[name] = tensor.shape
    return shapes, copies


def _links(rule: Rule, ours: Shapes) -> Iterable[tuple[Link, list[str]]]:
    """The tensors that a rule speaks of, each with the further foreign names of its own."""
    first = _pattern(rule.ours[0])
    for name in ours:
        stem, _, kind = (name, "", "") if rule.tensors else name.rpartition(".")
        match = first.fullmatch(stem)
        if match:
            end = f".{kind}" if kind else ""
            foreign, *parts = (_filled(text, match) + end for text in (rule.foreign, *rule.ours))
            yield Link(foreign, tuple(parts), rule.layout), [_filled(text, match) + end for text in rule.also]


@functools.cache
def _pattern(name: str) -> re.Pattern[str]:
    """`{layer}` and the like match a number."""
    return re.compile(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>\\d+)", re.escape(name)))


def _filled(name: str, match: re.Match[str]) -> str:
    """The name with the numbers that were matched."""
    return name.format(**match.groupdict())


def _foreign_shape(link: Link, ours: Shapes) -> torch.Size:
    return _shape(link.layout, tuple(ours[name] for name in link.ours))


@functools.lru_cache
def _shape(layout: Layout, shapes: tuple[torch.Size, ...]) -> torch.Size:
    # No meta tensors: to join those, torch imports its compiler first, which takes longer than to open a model.
    return layout.to_foreign([torch.empty((), dtype=torch.uint8).expand(shape) for shape in shapes]).shape


class Shaped(Protocol):
    """A tensor, or what is known of one that has not been read."""

    @property
    def shape(self) -> torch.Size:
        """Its shape."""


def fit(
    weights: Mapping[str, Shaped],
    shapes: Shapes,
    copies: dict[str, str],
    refusal: str,
    same: Callable[[str, str], bool],
) -> dict[str, list[str]]:
    """Under which names each weight is there, by the names of `shapes`.

    Args:
        weights: what there is. shapes: what there should be. copies: further names: copy → name in `shapes`.
        refusal: how the error begins.
        same: whether the weights of two names are equal; asked of shared ones.

    Raises:
        CheckpointError: everything that is missing, left over, of another shape, or shared and not equal.
    """
    names: dict[str, list[str]] = {name: [name] for name in shapes}
    for copy, name in copies.items():
        names[name].append(copy)
    given = {name: [known for known in group if known in weights] for name, group in names.items()}
    problems = {
        "missing": [name for name, group in given.items() if not group],
        "left over": [name for name in weights if name not in shapes and name not in copies],
        "wrong shape": [
            f"{known} is {tuple(weights[known].shape)}, not {tuple(shapes[name])}"
            for name, group in given.items()
            for known in group
            if weights[known].shape != shapes[name]
        ],
        "shared, yet not equal": [
            " and ".join(group) for group in given.values() if any(not same(known, group[0]) for known in group[1:])
        ],
    }
    if any(problems.values()):
        found = "; ".join(f"{what}: {listed(names)}" for what, names in problems.items() if names)
        raise CheckpointError(f"{refusal}: {found}")
    return given


def _checked(weights: Weights, shapes: Shapes, copies: dict[str, str], refusal: str) -> dict[str, Tensor]:
    """The weights under the names of `shapes`, each once; raises CheckpointError with everything that does not fit."""
    given = fit(weights, shapes, copies, refusal, lambda one, other: same_numbers(weights[one], weights[other]))
    return {name: weights[group[0]] for name, group in given.items()}


def checked_ours(plan: Plan, weights: Weights) -> dict[str, Tensor]:
    """Our weights by the names of `plan.ours`; raises CheckpointError with everything that does not fit."""
    return _checked(weights, plan.ours, plan.our_copies, OTHER_WEIGHTS)


def same_numbers(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors are one, or equal."""
    return one is other or torch.equal(one, other)


def _listed(names: list[str]) -> str:
    return ", ".join(names) or "none"
