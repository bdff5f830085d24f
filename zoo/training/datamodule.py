"""The loader's side of training: a step number in, the microbatches of that step out.

A step's rows are a function of the step (`zoo.data.plan`), so there is no loader state: whoever asks for step N, in
whichever process, gets the same batch, and a continued run asks from where it stopped. Workers and ranks change
nothing.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import pytorch_lightning as lightning
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from zoo.batch import PADDING_DOCUMENT, Batch
from zoo.data.plan import Plan, evaluation_batches
from zoo.objectives.mixture import MixedRows, Part, RowGroup
from zoo.own_blocks import executed
from zoo.training.imports import import_blocks
from zoo.training.interrupt import ignore_in_worker


class Step(NamedTuple):
    """What one rank works on in one optimizer step.

    Attributes:
        microbatches: each a list of parts, one for each group of objectives that has rows in it.
        num_tokens: tokens that go into the model, padding not counted, in all of them.
        source_tokens: of these, those of each source of a mixture; () for one source.
    """

    microbatches: list[list[Part]]
    num_tokens: int
    source_tokens: tuple[int, ...] = ()


class StepDataset(Dataset[Step]):
    """Step number → Step.

    Args:
        rows: the rows of the run.
        plan: which of them a step trains on.
        num_microbatches: of each rank in each step.
        rank, num_ranks: which share is this process's.
    """

    def __init__(self, rows: MixedRows, plan: Plan, num_microbatches: int, rank: int, num_ranks: int) -> None:
        self.rows = rows
        self.plan = plan
        self.num_microbatches = num_microbatches
        self.rank = rank
        self.num_ranks = num_ranks

    def __getitem__(self, step: int) -> Step:
        draws = self.plan.microbatches(step, self.num_microbatches, self.rank, self.num_ranks)
        microbatches = [self.rows.collate(draw.epochs, draw.samples) for draw in draws]
        every = [part for parts in microbatches for part in parts]
        by_source = zip(*(part.source_tokens for part in every), strict=True)
        return Step(microbatches, sum(count_tokens(part.batch) for part in every), tuple(map(sum, by_source)))

    def __reduce__(self) -> tuple[Any, ...]:
        """For a worker that is started anew (`spawn`): what is in the dataset may be of a class that a user's own file
        registers, so the file comes first."""
        return _without_rows, (tuple((str(blocks.path), blocks.sha256) for blocks in executed()),), vars(self)


class Legs(Dataset[Step]):
    """Step number → Step where rows of another length begin at some steps.

    Args:
        first_steps: of each leg, ascending from 0.
        datasets: the steps of each leg, by their number in the run.
    """

    def __init__(self, first_steps: Sequence[int], datasets: Sequence[StepDataset]) -> None:
        self.first_steps = tuple(first_steps)
        self.datasets = tuple(datasets)

    def __getitem__(self, step: int) -> Step:
        return self.datasets[bisect_right(self.first_steps, step) - 1][step]


def _without_rows(imports: tuple[tuple[str, str], ...]) -> StepDataset:
    """A dataset still to be filled, in a process that has executed these files (path, SHA-256)."""
    for path, sha256 in imports:
        import_blocks(path, sha256)
    return StepDataset.__new__(StepDataset)


ENDLESS = 1 << 60
"""More steps than any run has."""


class StepSampler(Sampler[int]):
    """The steps that are still to do, in order.

    Args:
        module: read when iteration begins, after a checkpoint is restored.
        max_steps: steps of the whole run; None: steps without end, until the run is told to stop.
    """

    def __init__(self, module: DataModule, max_steps: int | None) -> None:
        self.module = module
        self.max_steps = max_steps

    def __iter__(self) -> Iterator[int]:
        trainer = self.module.trainer
        assert trainer is not None
        return iter(range(trainer.global_step, ENDLESS if self.max_steps is None else self.max_steps))

    def __len__(self) -> int:
        """More than any run has: what ends it is its budget, and no step looks like the last of an epoch.

        (Lightning keeps in the checkpoint whether it was; a run that is prolonged goes on from any step alike.)
        """
        return ENDLESS


class DataModule(lightning.LightningDataModule):
    """The one data module of every run.

    Args:
        rows: training rows; where they become longer in the run, the longest.
        plan: which of them a step trains on.
        accumulate: microbatches of each rank in each full step.
        max_steps: steps of the run; None: until it is told to stop.
        num_workers: processes that make batches beside the training process; 0: it makes them itself.
        shorter: shorter rows that come first, each with its plan, in their order.
    """

    def __init__(
        self,
        rows: MixedRows,
        plan: Plan,
        accumulate: int,
        max_steps: int | None,
        num_workers: int,
        shorter: Sequence[tuple[MixedRows, Plan]] = (),
    ) -> None:
        super().__init__()
        self.rows = rows
        self.plan = plan
        self.shorter = shorter
        self.accumulate = accumulate
        self.max_steps = max_steps
        self.num_workers = num_workers

    def train_dataloader(self) -> DataLoader[Step]:
        """Steps of this rank from where the run stands."""
        assert self.trainer is not None
        rank, num_ranks = self.trainer.global_rank, self.trainer.world_size
        self.plan.check_shares(self.accumulate, num_ranks, "trainer.batch_size")
        legs = [*self.shorter, (self.rows, self.plan)]
        datasets = [StepDataset(rows, plan, self.accumulate, rank, num_ranks) for rows, plan in legs]
        return DataLoader(
            Legs([plan.first_step for _, plan in legs], datasets),
            batch_size=None,
            sampler=StepSampler(self, self.max_steps),
            num_workers=self.num_workers,
            worker_init_fn=ignore_in_worker,
            generator=torch.Generator(),  # without one, the loader draws from the global random stream
            pin_memory=self.trainer.strategy.root_device.type == "cuda",
        )


def evaluation_parts(group: RowGroup, batch_size: int, rank: int = 0, num_ranks: int = 1) -> Iterator[Part]:
    """All rows of a group once, in batches of `batch_size`: this rank's share of them."""
    for draw in evaluation_batches(group.num_rows, batch_size, rank, num_ranks):
        yield group.collate(draw.epochs, draw.samples)


def count_tokens(batch: Batch) -> int:
    """Tokens that go into the model, padding not counted, encoder and decoder together."""
    total = 0
    for prefix in ("", "decoder_"):
        tokens, documents = batch.inputs.get(f"{prefix}tokens"), batch.inputs.get(f"{prefix}documents")
        if documents is not None:
            total += int((documents != PADDING_DOCUMENT).sum())
        elif tokens is not None:
            total += tokens.numel()
    return total
