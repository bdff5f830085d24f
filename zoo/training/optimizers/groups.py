"""Which parameter has which learning rate and which decay.

Weight decay acts on the matrices of projections only: not on norms, biases or embeddings (and so not on a tied output
layer, which is the token table). The learning rate of a parameter is that of the step times the factors of

- the initialization (muP): the decay, which acts times the learning rate, is divided by it and so stays what it is;
- `parts`: patterns of names, each with a factor, a decay, or both;
- `layer_decay`: a factor for each layer between the parameter and the output, as ELECTRA (Clark et al. 2020,
  arXiv:2003.10555) and BEiT (Bao et al. 2021, arXiv:2106.08254) are fine-tuned, counted as BEiT does: heads and final
  norms have the full rate, the last layer the first factor, the first layer as many as there are layers, embeddings and
  positions one more. An encoder and a decoder count each for itself.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from torch import Tensor, nn

from zoo.config import Config, setting
from zoo.errors import ConfigError
from zoo.heads.base import Head
from zoo.nn.init import BertInitializationConfig, InitializationConfig, learning_rate_factors
from zoo.nn.linear import Embedding, Linear
from zoo.nn.stack import Stack

STANDARD = BertInitializationConfig()
"""An initialization under which every parameter has the same learning rate."""

NUM_SUGGESTED = 3
"""How many names an error about a pattern suggests."""

NUM_NAMED = 1
"""How many names of a group a table shows."""


@dataclass(frozen=True, kw_only=True)
class PartConfig(Config):
    """A part of the model, by the names of its parameters, and what is different about its updates."""

    match: tuple[str, ...] = setting(
        doc="full names of parameters, as globs: * is any text, dots included, ? one character, [0-3] one of these"
    )
    rate: float = setting(1.0, "factor on the learning rate", above=0)
    weight_decay: float | None = setting(
        None, "decay of everything that it matches, biases and tables too; null: as elsewhere", minimum=0
    )

    def validate(self) -> None:
        """Refuses a part of nothing, and one that changes nothing."""
        if not self.match:
            raise ConfigError("has no pattern; name parameters, for example [heads.*]", "match")
        if self.rate == 1 and self.weight_decay is None:
            raise ConfigError("1.0 changes nothing; set it or weight_decay, or take the part out with null", "rate")


def parameter_groups(
    model: nn.Module,
    weight_decay: float,
    initialization: InitializationConfig = STANDARD,
    parts: Mapping[str, PartConfig] | None = None,
    layer_decay: float | None = None,
) -> list[dict[str, Any]]:
    """The trained parameters in groups, those that decay first; each parameter is in exactly one.

    Args:
        model: whose parameters they are.
        weight_decay: of projection matrices, before it is divided by the factor of the initialization.
        initialization: says which factor each weight has.
        parts: factors and decays by patterns of names.
        layer_decay: factor from each layer to the one below it; None: the same rate for all.

    Returns:
        One group for each factor and decay among those that decay, then among the others: `params`, `weight_decay`,
        `rate_factor`.

    Raises:
        ConfigError: a pattern matches nothing, or what another part matches too; layers without an order.
    """
    decayed = {module.weight for module in model.modules() if isinstance(module, Linear)}
    factors = learning_rate_factors(model, initialization)
    distances = {} if layer_decay is None else layers_above(model)
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    chosen = parts_of(trained, parts or {})
    groups: dict[tuple[bool, float, float], list[nn.Parameter]] = {}
    for name, parameter in trained.items():
        decay, rate = (weight_decay if parameter in decayed else 0.0), 1.0
        if (part := chosen.get(name)) is not None:
            decay, rate = (decay if part.weight_decay is None else part.weight_decay), part.rate
        if layer_decay is not None:
            rate *= layer_decay ** distances[parameter]
        factor = factors.get(parameter, 1.0)
        decays = parameter in decayed or decay > 0
        groups.setdefault((decays, factor * rate, decay / factor), []).append(parameter)
    return [
        {"params": parameters, "weight_decay": decay, "rate_factor": factor}
        for (_, factor, decay), parameters in sorted(groups.items(), key=lambda item: item[0], reverse=True)
    ]


# ----------------------------------------------------------------------------------------------------- parts by pattern


def parts_of(names: Iterable[str], parts: Mapping[str, PartConfig]) -> dict[str, PartConfig]:
    """The part of each name that has one.

    Raises:
        ConfigError: a pattern that matches no name, with the nearest; a name that two parts match.
    """
    names, owners = list(names), dict[str, str]()
    for owner, part in parts.items():
        for index, pattern in enumerate(part.match):
            matched = [name for name in names if fnmatchcase(name, pattern)]
            if not matched:
                near = ", ".join(nearest(pattern, names))
                raise ConfigError(
                    f"{pattern!r} matches no parameter that is trained; * is any text; the nearest names: {near}",
                    f"parts.{owner}.match.{index}",
                )
            for name in matched:
                if owners.setdefault(name, owner) != owner:
                    raise ConfigError(
                        f"{pattern!r} matches {name}, as parts.{owners[name]} does; a parameter has one part: narrow "
                        "one of the two",
                        f"parts.{owner}.match.{index}",
                    )
    return {name: parts[owner] for name, owner in owners.items()}


def nearest(pattern: str, names: Iterable[str]) -> list[str]:
    """The names whose words are most like those of a pattern, the best first."""
    words = [word for word in re.split(r"[.*?\[\]!]+", pattern) if word]

    def likeness(name: str) -> float:
        parts = name.split(".")
        ratios = [max(difflib.SequenceMatcher(None, word, part).ratio() for part in parts) for word in words]
        return sum(ratios) - 0.01 * len(parts)

    return sorted(names, key=likeness, reverse=True)[:NUM_SUGGESTED]


# ------------------------------------------------------------------------------------------------------- layer by layer


def layers_above(model: nn.Module) -> dict[Tensor, int]:
    """How many steps each parameter is below the output: 0 for heads and final norms, 1 for a last layer, ….

    Raises:
        ConfigError: there are no layers, or several of them share their weights.
    """
    stacks = [module for module in model.modules() if isinstance(module, Stack)]
    if not stacks:
        raise ConfigError("the model has no layers; use null", "layer_decay")
    tables = [module.weight for module in model.modules() if isinstance(module, Embedding)]
    heads = [parameter for module in model.modules() if isinstance(module, Head) for parameter in module.parameters()]
    lowest = 1 + max(len(stack.blocks) for stack in stacks)
    # a later line has the last word: a token table that a head shares is an embedding, one in a layer is the layer's
    distances: dict[Tensor, int] = dict.fromkeys(model.parameters(), lowest)
    distances |= dict.fromkeys(heads, 0)
    distances |= dict.fromkeys(tables, lowest)
    for stack in stacks:
        if len(stack.blocks) < stack.config.num_layers:
            raise ConfigError(
                f"layers that share weights (model.sharing={stack.config.sharing.kind}) have no rate each; use null",
                "layer_decay",
            )
        for index, block in enumerate(stack.blocks):
            distances |= dict.fromkeys(block.parameters(), len(stack.blocks) - index)
        distances |= dict.fromkeys(stack.norm.parameters(), 0)
    return distances


# --------------------------------------------------------------------------------------------------------- for a person


class GroupRow(NamedTuple):
    """A group of parameters in words.

    Attributes:
        names: of its parameters, numbers of layers as *, the most numerous first.
        tensors, parameters: how many it has.
        rate: the factor on the learning rate. weight_decay: of the group, times its learning rate.
        rule: what updates it, where an optimizer has several rules; else "".
    """

    names: list[str]
    tensors: int
    parameters: int
    rate: float
    weight_decay: float
    rule: str


def group_rows(groups: Iterable[Mapping[str, Any]], model: nn.Module) -> list[GroupRow]:
    """What is in each group that `OptimizerConfig.groups` made of a model, which may be without data."""
    names = {parameter: name for name, parameter in model.named_parameters()}
    rows: list[GroupRow] = []
    for group in groups:
        counts: dict[str, int] = {}
        for parameter in group["params"]:
            name = re.sub(r"\.\d+\.", ".*.", names[parameter])
            counts[name] = counts.get(name, 0) + parameter.numel()
        rows.append(
            GroupRow(
                names=sorted(counts, key=lambda name: -counts[name]),
                tensors=len(group["params"]),
                parameters=sum(counts.values()),
                rate=group["rate_factor"],
                weight_decay=group["weight_decay"],
                rule=group.get("rule", ""),
            )
        )
    return rows


def update_rows(groups: Iterable[Mapping[str, Any]], model: nn.Module) -> list[tuple[str, str, int, str]]:
    """(learning rate at its peak, decay, parameters, whose) of each group, as the cells of a table."""
    groups = list(groups)
    rows = []
    for group, row in zip(groups, group_rows(groups, model), strict=True):
        rest = len(row.names) - NUM_NAMED
        names = ", ".join(row.names[:NUM_NAMED]) + (f" and {rest} more" if rest > 0 else "")
        rows.append((f"{group['lr']:.3g}", f"{row.weight_decay:.3g}", row.parameters, f"{row.rule} {names}".strip()))
    return rows
