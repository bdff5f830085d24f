"""All objectives of a run as one: from (epochs, samples) to batches.

Without shares, all objectives work on the same rows (BERT: masked language modelling and next sentence). One of them at
most may need rows of its own kind and one at most may change the tokens.

With shares, each row goes to one objective (UL2, Tay et al. 2022, arXiv:2205.05131). What one calls an epoch is then a
block of BLOCK draws, of which each objective has its share, exactly; the order of the plan, which shuffles each epoch,
decides which of them come when. Draw number n of an objective, counted over all blocks, is row n % num_rows of its
epoch n // num_rows in that epoch's own random order. So an objective sees each of its rows once before it sees one
again (but for the shuffle within a block), and any draw is found without counting those before it.

With several sources of text, each row holds text of one of them: so rows and noise are functions of the source alone,
whatever stands beside it, a B from another document (next sentence) is of the same kind of text as its A, and losses
can be told apart. Shares are shares of tokens, but what is drawn are rows, and rows of short documents hold fewer
tokens. So the mean number of tokens in the rows of each source is counted (in all its rows, or in 4,096 spread over
them), and the draws of a cycle are divided by share / mean. They are spread evenly (`zoo/data/shares.py`) and not
shuffled, so that every step has the shares, up to about a row a source. Over a run each source's share of the tokens is
within 2 % of the one that was asked for (30 % come out between 29.4 and 30.6 %), as soon as it has given a few hundred
rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from zoo.batch import PADDING_DOCUMENT, Batch
from zoo.data.blend import Blend
from zoo.data.counter import permuted
from zoo.data.rows import Integers, Rows, TooShortError
from zoo.data.shares import Cycle, evenly_spread, whole_parts
from zoo.data.split import Documents
from zoo.errors import ConfigError, DataError
from zoo.objectives.base import Objective, ObjectiveConfig, Setup

BLOCK = 10_000
"""Draws of a block: shares are exact to four digits."""

CYCLE = 100_000
"""Draws of a cycle through several sources: shares are exact to five digits."""

COUNTED_ROWS = 4_096
"""Rows of a source that are counted, at most, to know how many tokens its rows hold on average."""


class Part(NamedTuple):
    """Rows of one width that share inputs.

    Attributes:
        names: the objectives that are scored on them; `batch.labels` has an entry for each.
        batch: inputs and labels.
        source_tokens: tokens that go into the model, padding not counted, of each source of the run; () for one source.
    """

    names: tuple[str, ...]
    batch: Batch
    source_tokens: tuple[int, ...] = ()


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
        self.configs = dict(configs)
        self.setup = setup
        self.objectives = {name: config.build(name, setup) for name, config in configs.items()}
        self.slots = _slots(configs)

    def over(self, documents: Documents | Blend) -> MixedRows:
        """The rows of these documents for all objectives; raises DataError where the documents do not fit."""
        if isinstance(documents, Blend):
            return self._over_sources(documents)
        teams = _teams(self.objectives, bool(self.slots))
        return MixedRows([RowGroup(team, documents) for team in teams], self.slots, self.setup.seed)

    def _over_sources(self, blend: Blend) -> InterleavedRows:
        groups: list[list[RowGroup]] = []
        for portion in blend.portions:
            setup = self.setup._replace(seed=source_seed(self.setup.seed, portion.name))
            objectives = {name: config.build(name, setup) for name, config in self.configs.items()}
            try:
                teams = _teams(objectives, bool(self.slots))
                groups.append([RowGroup(team, portion.documents, portion.name) for team in teams])
            except TooShortError as error:
                raise TooShortError(error.num_tokens, error.width, portion.name) from None
            except DataError as error:
                raise DataError(f"source {portion.name}: {error}") from None
        return InterleavedRows(groups, [portion.share for portion in blend.portions], self.slots, self.setup.seed)


class RowGroup:
    """Objectives that work on the same rows.

    Args:
        objectives: one or more; rows are made by the one that needs its own kind, else by the first.
        documents: the text.
        source: name of the source that it is from; "" where there is one source only.

    Attributes:
        num_rows: rows of one epoch.
        names: the objectives, in order.
        bytes_per_token: of the text, see `Documents`.
    """

    def __init__(self, objectives: list[Objective], documents: Documents, source: str = "") -> None:
        self.objectives = objectives
        self.source = source
        self.names = tuple(objective.name for objective in objectives)
        owner = next((objective for objective in objectives if objective.config.needs_own_rows), objectives[0])
        self.row_maker = owner.row_maker(documents)
        self.num_rows = self.row_maker.num_rows
        self.bytes_per_token = documents.bytes_per_token

    def collate(self, epochs: Integers, samples: Integers) -> Part:
        """The rows (epochs[i], samples[i]) as a batch; samples in [0, num_rows). A pure function of each pair."""
        inputs, labels = self.arrays(epochs, samples)
        return Part(self.names, Batch(_tensors(_lean(inputs)), _tensors(labels)))

    def arrays(self, epochs: Integers, samples: Integers) -> tuple[dict[str, Integers], dict[str, Integers]]:
        """As `collate`: all inputs, those that say nothing too, and the labels."""
        rows = self.row_maker.rows(epochs, samples)
        inputs = _inputs(rows)
        labels = {}
        for objective in self.objectives:
            noised = objective.noise(rows)
            inputs |= noised.inputs
            labels[objective.name] = noised.labels
        return inputs, labels

    def tokens_per_row(self) -> float:
        """Mean number of tokens that a row of epoch 0 brings into the model, of COUNTED_ROWS rows at most."""
        counted = min(self.num_rows, COUNTED_ROWS)
        samples = np.arange(counted) * self.num_rows // counted
        total = 0
        for start in range(0, counted, 256):
            sample = samples[start : start + 256]
            total += int(_tokens_of_rows(self.arrays(np.zeros_like(sample), sample)[0]).sum())
        return total / counted


class MixedRows:
    """The rows of a run.

    Args:
        groups: objectives that share rows.
        slots: draws of each group in a block, adding up to BLOCK; () where there is one group.
        seed: of the order in which each group goes through its rows.

    Attributes:
        num_rows: what the plan counts as one epoch: the rows of the only group, or one block of draws.
        groups: for evaluation, which goes over all rows of each group.
        shuffled: whether the plan is to shuffle each epoch.
        sources: names of the sources of text, where there are several.
    """

    shuffled = True
    sources: tuple[str, ...] = ()

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


class InterleavedRows(MixedRows):
    """The rows of a run over several sources, which take turns; rows of all sources share batches.

    Args:
        groups: for each source, a group for each team of objectives.
        shares: of the tokens, one for each source.
        objective_slots: draws of each team in a block, where objectives have shares.
        seed: of the order in which each group goes through its rows.

    Attributes:
        cycle: whose turn it is.
        tokens_per_row: mean number of tokens that a row brings into the model.

    Raises:
        ConfigError: a share is less than one row of a cycle.
    """

    shuffled = False

    def __init__(
        self, groups: list[list[RowGroup]], shares: Sequence[float], objective_slots: tuple[int, ...], seed: int
    ) -> None:
        super().__init__([group for of_source in groups for group in of_source], (), seed)
        self.sources = tuple(of_source[0].source for of_source in groups)
        self.num_teams = len(groups[0])
        means_ST = np.asarray([[group.tokens_per_row() for group in of_source] for of_source in groups])
        rows_ST = np.asarray(shares)[:, None] / means_ST
        rows_ST *= np.asarray(objective_slots or (1,)) / rows_ST.sum(axis=0)  # a team's share is one of rows
        self.cycle: Cycle = evenly_spread(rows_ST.ravel().tolist(), CYCLE)
        self.tokens_per_row = float((means_ST.ravel() * self.cycle.counts).sum() / CYCLE)
        for count, share, group in zip(self.cycle.counts, np.repeat(shares, self.num_teams), self.groups, strict=True):
            if not count:
                raise ConfigError(
                    f"{share:g} is less than one row in {CYCLE:,} for {' and '.join(group.names)}; raise it",
                    f"data.source.sources.{group.source}.share",
                )
        self.num_rows = CYCLE

    def epochs(self, num_draws: int) -> dict[str, float]:
        """How often each source's rows are gone through in so many draws, the most of its groups, by name."""
        often: dict[str, float] = {}
        for count, group in zip(self.cycle.counts, self.groups, strict=True):
            often[group.source] = max(often.get(group.source, 0.0), num_draws * count / CYCLE / group.num_rows)
        return often

    def collate(self, epochs: Integers, samples: Integers) -> list[Part]:
        """The rows (epochs[i], samples[i]), one part for each team of objectives that has any."""
        chosen = self.cycle.chosen[samples]
        draws = epochs * self.cycle.counts[chosen] + self.cycle.before[samples]
        parts = []
        for team in range(self.num_teams):
            places = np.flatnonzero(chosen % self.num_teams == team)
            if len(places):
                parts.append(self._part(team, chosen[places] // self.num_teams, draws[places]))
        return parts

    def _part(self, team: int, source_B: Integers, draw_B: Integers) -> Part:
        """The draws of one team of objectives, those of all sources in one batch, in their order."""
        sizes = [0] * len(self.sources)
        found: list[tuple[Integers, dict[str, Integers], dict[str, Integers]]] = []
        for source in np.unique(source_B).tolist():
            group = self.groups[source * self.num_teams + team]
            places = np.flatnonzero(source_B == source)
            epoch, place = np.divmod(draw_B[places], group.num_rows)
            stream = f"order/{group.source}/{group.names[0]}"
            rows = group.arrays(epoch, permuted(self.seed, stream, epoch, place, group.num_rows))
            sizes[source] = int(_tokens_of_rows(rows[0]).sum())
            found.append((places, *rows))
        order = np.argsort(np.concatenate([places for places, _, _ in found]))
        inputs = {name: np.concatenate([rows[name] for _, rows, _ in found])[order] for name in found[0][1]}
        labels = {name: np.concatenate([rows[name] for _, _, rows in found])[order] for name in found[0][2]}
        names = self.groups[team].names
        return Part(names, Batch(_tensors(_lean(inputs)), _tensors(labels)), tuple(sizes))


def source_seed(seed: int, source: str) -> int:
    """The seed of noise on the rows of one source of several: rows of the same number must not be noised alike."""
    return int.from_bytes(hashlib.blake2b(f"{seed}/{source}".encode(), digest_size=7).digest(), "little")


def _teams(objectives: Mapping[str, Objective], alone: bool) -> list[list[Objective]]:
    """Objectives that work on the same rows: each on its own, where they have shares, else all together."""
    return [[objective] for objective in objectives.values()] if alone else [list(objectives.values())]


def _tokens_of_rows(inputs: dict[str, Integers]) -> Integers:
    """(B,) tokens of each row that go into the model, encoder and decoder together."""
    sides = [inputs[name] for name in ("documents", "decoder_documents") if name in inputs]
    total: Integers = np.sum([(side != PADDING_DOCUMENT).sum(axis=1) for side in sides], axis=0)
    return total


def _slots(configs: Mapping[str, ObjectiveConfig]) -> tuple[int, ...]:
    """Draws of each objective in a block, by largest remainder; () without shares."""
    shares = np.asarray([config.share or 0.0 for config in configs.values()])
    if not shares.any():
        return ()
    slots = whole_parts(shares.tolist(), BLOCK)
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
