"""One field of our config changed: does anybody notice?

Parity alone does not show that a field acts. Each field of our config of a case, as its type and bounds allow, is
changed alone; the same weights in the changed model must then move logits, loss or gradients by far more than parity
tolerates, or the change must be refused. Fields that really cannot be seen are listed here, each with its reason.
"""

import dataclasses
import functools
import math
import typing
from collections.abc import Callable, Iterator, Mapping
from fnmatch import fnmatch
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from tests.interop.parity import (
    Result,
    difference,
    oracle_result,
    our_config,
    our_result,
    our_weights,
    sides,
    with_kernel,
)
from tests.oracle import randomize
from tests.variations import variations
from zoo.config import Config, build, merged, to_mapping
from zoo.errors import ConfigError, DataError
from zoo.models import Model, ModelConfig
from zoo.nn.layer import LayerConfig
from zoo.registry import Choice

MOVES = 1e-6
"""What a changed field moves logits, loss or gradients by, at least: far above the tolerance of parity."""


REFUSED = -math.inf
"""Stands where nothing can be measured, as the changed model refuses what it is given."""


class Unseen(NamedTuple):
    """Fields that outputs and gradients do not depend on.

    Attributes:
        fields: their dotted names; `*` stands for anything.
        reason: why.
        when: whether that holds for a model of this config.
    """

    fields: str
    reason: str
    when: Callable[[ModelConfig], bool] = lambda config: True


def keys_meet_queries_as_they_are(config: ModelConfig) -> bool:
    """Whether nothing stands between the key projection and the scores."""
    return config.positions.kind != "rotary" and config.attention.query_key_norm is None


def has_two_lists(config: ModelConfig) -> bool:
    """Whether a list of rotary factors for short rows and one for long rows are there to choose from."""
    return config.positions.kind == "rotary" and config.positions.scaling.kind == "longrope"  # type: ignore[attr-defined]


def in_use(config: ModelConfig) -> str:
    """Which of the two lists is."""
    return "long" if config.max_length > config.positions.scaling.original_length else "short"  # type: ignore[attr-defined]


UNSEEN = (
    Unseen("vocab_multiple", "pads the table with rows that are never read"),
    Unseen("*attention.kernel", "computes the same; parity is tested with each"),
    Unseen("dropout.*", "acts in training only"),
    Unseen("*.balancing.rate", "acts in training only"),
    Unseen("initialization.*", "is how weights are drawn"),
    Unseen(
        "max_length",
        "bounds the rows; learned tables refuse what lies past it",
        lambda config: not has_two_lists(config),
    ),
    Unseen("positions.scaling.short_factor", "the other list is in use", lambda config: in_use(config) == "long"),
    Unseen("positions.scaling.long_factor", "the other list is in use", lambda config: in_use(config) == "short"),
    Unseen(
        "norm.eps",
        "is far below any variance, and so is what it is changed to",
        lambda config: getattr(config.norm, "eps", 1.0) < 1e-9,
    ),
    Unseen(
        "attention.key_bias",
        "adds the same to all scores of a query, which softmax takes out",
        keys_meet_queries_as_they_are,
    ),
)
"""Reviewed. Each is held to what it says: what moves anything after all may not stand here."""

OTHER_MODELS = ("heads", "heads.*.kind", "block.kind", "kind")
"""What these are changed to is another network with other weights or inputs; each is compared by itself."""


# --------------------------------------------------------------------------------------------------------------- fields


def fields_of(config: Any, path: str = "") -> dict[str, Any]:
    """The type of every field of a config, by its dotted name; groups and named groups are entered, not listed.

    Where some layers are changed, the fields of the groups that a change names are listed as `layers.<slice>.<field>`.
    """
    found: dict[str, Any] = {}
    hints = typing.get_type_hints(type(config))
    if isinstance(config, Choice):
        found[f"{path}kind"] = config.choices
    for field in dataclasses.fields(config):
        value, where = getattr(config, field.name), f"{path}{field.name}"
        if isinstance(value, Config):
            found |= fields_of(value, f"{where}.")
        elif isinstance(value, dict) and any(isinstance(entry, Config) for entry in value.values()):
            for name, entry in value.items():
                found |= fields_of(entry, f"{where}.{name}.")
        else:
            found[where] = hints[field.name]
    if isinstance(config, ModelConfig):
        said: list[Any] = []
        for key, change in config.layers.items():
            inside = {} if change in said else fields_of(first_layer(config, key))
            found |= {f"layers.{key}.{name}": kind for name, kind in inside.items() if name.split(".")[0] in change}
            said.append(change)
    return {where: kind for where, kind in found.items() if not any(fnmatch(where, other) for other in OTHER_MODELS)}


def first_layer(config: ModelConfig, key: str) -> LayerConfig:
    """The first of the layers that a key of `layers` speaks of, with all changes."""
    parts = [int(part) if part else None for part in key.split(":")]
    layers = config.layer_configs()
    return layers[slice(*parts)][0] if len(parts) > 1 else layers[int(key)]


def owner(config: ModelConfig, groups: list[str]) -> Any:
    """The config that a field stands in, by the names of the groups around it."""
    found: Any = config
    for index, name in enumerate(groups):
        if groups[:index] == ["layers"]:
            found = first_layer(config, name)
        elif name != "layers":
            found = found[name] if isinstance(found, dict) else getattr(found, name)
    return found


def mutated(config: ModelConfig, path: str, value: Any) -> ModelConfig:
    """The config with one field changed; a changed `kind` keeps what it can of its group. May raise ConfigError."""
    settings = to_mapping(config)
    *groups, last = path.split(".")
    change: dict[str, Any] = {last: value}
    if last == "kind":
        group = owner(config, groups)
        legal = {field.name for field in dataclasses.fields(type(group).choice(value))}
        change |= {name: old for name, old in to_mapping(group).items() if name in legal and name != "kind"}
    for name in reversed(groups):
        change = {name: change}
    if path in ("layers", "decoder"):
        settings.pop(path)
    model = build(ModelConfig, merged(settings, change))
    assert isinstance(model, ModelConfig)
    return model


def other_values(config: ModelConfig, path: str, kind: Any) -> list[Any]:
    """What a field may be changed to; some of it may be refused."""
    *groups, last = path.split(".")
    value = to_mapping(owner(config, groups))[last]
    if isinstance(kind, dict):  # the kinds of a choice
        return [name for name in kind if name != value]
    try:
        mutated(config, path, "no such value")
        refusal = ""
    except ConfigError as error:
        refusal = str(error)
    return [*variations(kind, value, refusal), *([1, 2] if type(value) is int else [])]  # also divisors of most numbers


def changed_configs(config: ModelConfig, path: str, kind: Any) -> Iterator[ModelConfig]:
    """The config with one field changed to each legal value that is tried and does not say the same."""
    for value in other_values(config, path, kind):
        try:
            changed = mutated(config, path, value)
        except ConfigError:
            continue
        if spelled_out(changed) != spelled_out(config):
            yield changed


def spelled_out(config: ModelConfig) -> dict[str, Any]:
    """The config as plain data, with the numbers that null stands for."""
    heads = config.attention_heads
    numbers = {"num_kv_heads": heads.num_kv_heads, "head_dim": heads.head_dim, "feed_forward_dim": config.inner_dim}
    return {**to_mapping(config), **numbers}


# -------------------------------------------------------------------------------------------------------------- effects


def with_weights_of(config: ModelConfig, weights: Mapping[str, Tensor]) -> Model:
    """A model of this config with as much of the given weights as its shapes have room for, the rest random."""
    model = config.build_unset().double().eval()
    for module in model.modules():  # norms keep weights near 1
        if isinstance(module, nn.LayerNorm | nn.RMSNorm):
            module.reset_parameters()
    randomize(model, seed=3)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if name in weights and weights[name].ndim == tensor.ndim:
                overlap = tuple(map(slice, map(min, tensor.shape, weights[name].shape)))
                tensor[overlap] = weights[name][overlap]
    return model


@functools.cache
def baseline(name: str) -> ModelConfig:
    """Our config of a case, with the plain kernel, which can do everything."""
    return with_kernel(our_config(name), "reference")


def effect(name: str, config: ModelConfig) -> float:
    """How far a model of this config, with the weights of a case, is from the case's oracle."""
    theirs = oracle_result(name, "right")
    ours = our_result(with_weights_of(config, our_weights(name)), sides(name, "right"))
    common = [n for n, g in theirs.gradients.items() if n in ours.gradients and g.shape == ours.gradients[n].shape]
    kept = (
        Result({h: r.logits[h] for h in theirs.logits}, r.loss, {n: r.gradients[n] for n in common})
        for r in (ours, theirs)
    )
    return max(difference(*kept))


def effects(name: str, path: str) -> Iterator[float]:
    """What each legal change of one field of a case moves; REFUSED where the model then refuses the batch.

    A kernel may say only when it runs that it cannot compute a setting here; such a change says nothing.
    """
    config = baseline(name)
    for changed in changed_configs(config, path, fields_of(config)[path]):
        try:
            yield effect(name, changed)
        except DataError:
            yield REFUSED
        except ConfigError:
            continue


def why_unseen(name: str, path: str) -> str | None:
    """The reason why a change of this field cannot be seen in a case; None: it must be."""
    config = baseline(name)
    reasons = [u.reason for u in UNSEEN if fnmatch(path, u.fields) and u.when(config)]
    return reasons[0] if reasons else None
