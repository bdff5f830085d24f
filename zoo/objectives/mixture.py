"""All objectives of a run as one: from (epochs, samples) to batches.

Without shares, all objectives work on the same rows (BERT: masked language modelling and next sentence). One of them at
most may need rows of its own kind and one at most may change the tokens.

With shares, each row goes to one objective (UL2, Tay et al. 2022, arXiv:2205.05131). What one calls an epoch is then a
block of BLOCK draws, of which each objective has its share, exactly; the order of the plan, which shuffles each epoch,
decides which of them come when. Draw number n of an objective, counted over all blocks, is row n % num_rows of its
epoch n // num_rows in that epoch's own random order. So an objective sees each of its rows once before it sees one
again (but for the shuffle within a block), and any draw is found without counting those before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from zoo.batch import Batch
from zoo.data.counter import permuted
from zoo.data.rows import Integers, Rows
from zoo.data.split import Documents
from zoo.errors import ConfigError
from zoo.objectives.base import Objective, ObjectiveConfig, Setup

BLOCK = 10_000
"""Draws of a block: shares are exact to four digits."""


class Part(NamedTuple):
    """Rows of one width that share inputs.

    Attributes:
        names: the objectives that are scored on them; `batch.labels` has an entry for each.
        batch: inputs and labels.
    """

    names: tuple[str, ...]
    batch: Batch


def check_objectives(configs: Mapping[str, ObjectiveConfig]) -> None:
    """Raises ConfigError where these objectives cannot make one run."""
    if not configs:
        raise ConfigError(f"a run needs an objective (legal kinds: {', '.join(sorted(ObjectiveConfig.choices))})")
    shared = [name for name, config in configs.items() if config.share is not None]
    if shared:
        without = [name for name in configs if name not in shared]
        if without:
            raise ConfigError(
                f"{shared[0]} has a share and {without[0]} has none: give each objective a share, or none of them",
                f"{without[0]}.share",
            )
        if len(configs) == 1:
            raise ConfigError(
                "a share has no effect where there is one objective only; leave it out", f"{shared[0]}.share"
            )
        _slots(configs)
        return
    for first, second in combinations(configs, 2):
        for flag, words in (
            ("needs_own_rows", "needs rows of its own kind"),
            ("rewrites_tokens", "changes the tokens"),
        ):
            if getattr(configs[first], flag) and getattr(configs[second], flag):
                raise ConfigError(
                    f"{first} ({configs[first].kind}) and {second} ({configs[second].kind}) cannot work on the same "
                    f"rows: each of them {words}; give every objective a `share` to train them on rows in turn",
                    second,
                )
    owner = next((name for name, config in configs.items() if config.needs_own_rows), None)
    if owner is not None:
        for name, config in configs.items():
            if name != owner:
                config.check_beside(name, owner, configs[owner])


def check_family(configs: Mapping[str, ObjectiveConfig], family: str, heads: Mapping[str, str]) -> None:
    """Raises ConfigError where an objective does not fit the family of the model or lacks its head.

    Args:
        configs: the objectives by name.
        family: "encoder", "decoder" or "encoder_decoder".
        heads: kind of each head of the model, by its name.
    """
    for name, config in configs.items():
        if family not in config.families:
            legal = sorted(k for k, choice in ObjectiveConfig.choices.items() if family in choice.families)
            raise ConfigError(
                f"objective {config.kind} does not fit the family {family}: it fits {', '.join(config.families)}; "
                f"{family} models take {', '.join(legal) or 'no objective'}",
                name,
            )
        if config.head not in heads:
            raise ConfigError(
                f"objective {config.kind} trains the head {config.head}, which the model does not have "
                f"(it has {', '.join(sorted(heads)) or 'none'})",
                name,
            )
        if heads[config.head] != config.head:
            raise ConfigError(
                f"objective {config.kind} trains a head of kind {config.head}, but the model's head of that name is of "
                f"kind {heads[config.head]}",
                name,
            )


class Mixture:
    """The objectives of a run.

    Args:
        configs: the objectives by name.
        setup: what they share.

    Raises:
        ConfigError, DataError: they do not go together, or do not fit the tokenizer or the length.
    """

    def __init__(self, configs: Mapping[str, ObjectiveConfig], setup: Setup) -> None:
        check_objectives(configs)
        self.setup = setup
        self.objectives = {name: config.build(name, setup) for name, config in configs.items()}
        self.slots = _slots(configs)

    def over(self, documents: Documents) -> MixedRows:
        """The rows of these documents for all objectives; raises DataError where the documents do not fit."""
        objectives = list(self.objectives.values())
        if self.slots:
            return MixedRows(
                [RowGroup([objective], documents) for objective in objectives], self.slots, self.setup.seed
            )
        return MixedRows([RowGroup(objectives, documents)], (), self.setup.seed)


class RowGroup:
    """Objectives that work on the same rows.

    Args:
        objectives: one or more; rows are made by the one that needs its own kind, else by the first.
        documents: the text.

    Attributes:
        num_rows: rows of one epoch.
        names: the objectives, in order.
    """

    def __init__(self, objectives: list[Objective], documents: Documents) -> None:
        self.objectives = objectives
        self.names = tuple(objective.name for objective in objectives)
        owner = next((objective for objective in objectives if objective.config.needs_own_rows), objectives[0])
        self.row_maker = owner.row_maker(documents)
        self.num_rows = self.row_maker.num_rows

    def collate(self, epochs: Integers, samples: Integers) -> Part:
        """The rows (epochs[i], samples[i]) as a batch; samples in [0, num_rows). A pure function of each pair."""
        rows = self.row_maker.rows(epochs, samples)
        inputs = _inputs(rows)
        labels = {}
        for objective in self.objectives:
            noised = objective.noise(rows)
            inputs |= noised.inputs
            labels[objective.name] = noised.labels
        return Part(self.names, Batch(_tensors(_lean(inputs)), _tensors(labels)))


class MixedRows:
    """The rows of a run.

    Args:
        groups: objectives that share rows.
        slots: draws of each group in a block, adding up to BLOCK; () where there is one group.
        seed: of the order in which each group goes through its rows.

    Attributes:
        num_rows: what the plan counts as one epoch: the rows of the only group, or one block of draws.
        groups: for evaluation, which goes over all rows of each group.
    """

    def __init__(self, groups: list[RowGroup], slots: tuple[int, ...], seed: int) -> None:
        self.groups = groups
        self.slots = np.asarray(slots, np.int64)
        self.seed = seed
        self.num_rows = BLOCK if slots else groups[0].num_rows

    def collate(self, epochs: Integers, samples: Integers) -> list[Part]:
        """The rows (epochs[i], samples[i]), one part for each group that has any; samples in [0, num_rows)."""
        if not len(self.slots):
            return [self.groups[0].collate(epochs, samples)]
        ends = np.cumsum(self.slots)
        chosen = np.searchsorted(ends, samples, side="right")
        parts = []
        for index, group in enumerate(self.groups):
            mine = chosen == index
            if mine.any():
                draw = epochs[mine] * self.slots[index] + samples[mine] - (ends[index] - self.slots[index])
                epoch, place = np.divmod(draw, group.num_rows)
                stream = f"order/{group.names[0]}"
                parts.append(group.collate(epoch, permuted(self.seed, stream, epoch, place, group.num_rows)))
        return parts


def _slots(configs: Mapping[str, ObjectiveConfig]) -> tuple[int, ...]:
    """Draws of each objective in a block, by largest remainder; () without shares."""
    shares = np.asarray([config.share or 0.0 for config in configs.values()])
    if not shares.any():
        return ()
    exact = shares / shares.sum() * BLOCK
    slots = np.floor(exact).astype(np.int64)
    missing = BLOCK - int(slots.sum())
    slots[np.argsort(slots - exact, kind="stable")[:missing]] += 1
    for name, count in zip(configs, slots, strict=True):
        if not count:
            raise ConfigError(f"{configs[name].share} is less than one row in {BLOCK} of all shares", f"{name}.share")
    return tuple(slots.tolist())


def _inputs(rows: Rows) -> dict[str, Integers]:
    inputs = {"tokens": rows.tokens, "documents": rows.documents, "positions": rows.positions}
    return inputs if rows.segments is None else {**inputs, "segments": rows.segments}


def _lean(inputs: dict[str, Integers]) -> dict[str, Integers]:
    """Without what says nothing: then attention needs no mask and takes its cheapest path.

    Documents go where every row is one document without padding, on both sides of an encoder-decoder (cross-attention
    compares the two); positions go where they are 0 … T−1.
    """
    documents: list[str] = [name for name in ("documents", "decoder_documents") if name in inputs]
    positions: list[str] = [name for name in ("positions", "decoder_positions") if name in inputs]
    idle = set() if any(inputs[name].any() for name in documents) else set(documents)
    idle |= {name for name in positions if (inputs[name] == np.arange(inputs[name].shape[1])).all()}
    return {name: values for name, values in inputs.items() if name not in idle}


def _tensors(arrays: Mapping[str, Integers]) -> dict[str, Tensor]:
    return {name: torch.from_numpy(np.ascontiguousarray(values, np.int64)) for name, values in arrays.items()}
