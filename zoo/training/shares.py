"""How much of a run each of several sources is: what is announced at the start, and what has come out so far."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from zoo.data.blend import Blend
from zoo.data.split import counted, held_out_words
from zoo.errors import DataError
from zoo.objectives.mixture import InterleavedRows

if TYPE_CHECKING:
    from zoo.training.datamodule import Step

COLUMN = "train/share/"
"""Columns of the log: the share of each source in the tokens of all steps so far, padding not counted."""


class SourceTokens:
    """Counts the tokens of each source.

    Every rank counts its own; `settle` adds them up over ranks, so that what the first rank saves is all there is.
    """

    def __init__(self) -> None:
        self.names: tuple[str, ...] = ()
        self._settled: list[int] = []
        self._since: list[int] = []

    def begin(self, names: tuple[str, ...]) -> None:
        """Names the sources; () where there is one only, which needs no counting. Raises DataError on other ones."""
        if self._settled and len(self._settled) != len(names):
            raise DataError(f"the checkpoint counts {len(self._settled)} sources, the run has {len(names)}")
        self.names = names
        self._settled = self._settled or [0] * len(names)
        self._since = [0] * len(names)

    def count(self, step: Step) -> None:
        """Adds this rank's part of a step."""
        self._since = [had + more for had, more in zip(self._since, step.source_tokens, strict=True)]

    def settle(self, reduce: Callable[[Tensor], Tensor], device: torch.device) -> None:
        """Adds up over ranks; all of them must come here in the same step."""
        if self.names:
            total = reduce(torch.tensor(self._since, dtype=torch.int64, device=device)).tolist()
            self._settled = [had + more for had, more in zip(self._settled, total, strict=True)]
            self._since = [0] * len(self.names)

    def row(self) -> dict[str, float]:
        """The shares as columns of the log, as of the last `settle`."""
        total = sum(self._settled)
        return {COLUMN + name: tokens / total for name, tokens in zip(self.names, self._settled, strict=True) if total}

    @property
    def state(self) -> list[int]:
        """What a checkpoint holds."""
        return self._settled

    @state.setter
    def state(self, settled: list[int]) -> None:
        """Goes on counting from what a checkpoint holds."""
        self._settled = list(settled)


def source_lines(training: Blend, validation: Blend, rows: InterleavedRows, num_rows: float | None) -> Iterator[str]:
    """A line for each source: its text, its share, and how often a run of about so many rows goes through it.

    Where nobody knows how many rows that is, it is said after how many of them each source is gone through once.
    """
    total = sum(portion.share for portion in training.portions)
    for portion, held in zip(training.portions, validation.portions, strict=True):
        once = 1 / rows.epochs(1)[portion.name]
        times = (num_rows or 0) / once
        if num_rows is None:
            words = f"gone through once in {counted(round(once), 'row')} of the run"
        else:
            words = f"gone through {times:.3g} times" if times >= 1 else f"{100 * times:.2g} % of it read"
        yield (
            f"  {portion.name}: {100 * portion.share / total:.3g} % of the tokens, "
            f"{counted(portion.documents.num_documents, 'document')}, "
            f"{held_out_words(portion.documents, held.documents)}, {words}"
        )
