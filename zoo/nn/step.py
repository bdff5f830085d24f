"""What a part of a model may add to a training step: to its loss, and a change once it is done.

Nearly all parts have nothing to add. One that does (the balancing of experts) is a `StepAware`. Whoever trains lets the
parts watch the forwards of a step, adds what they leave to the loss, and after the update hands them what they counted,
summed over microbatches and ranks. Outside of a training step nothing is watched: evaluation, generation and a bare
forward neither change the model nor keep anything.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import ClassVar

from torch import Tensor, nn


class Replayable(nn.Module):
    """A module whose forward leaves something behind beside its output: counts, running statistics.

    Attributes:
        replaying: whether this forward is one that was run before, for its backward (`recompute.py`): it leaves
        nothing.
    """

    replaying: bool = False


class StepAware(Replayable):
    """A module with a part in the training step.

    Attributes:
        losses: where it leaves what it adds to the loss, scalars; None: no training step is running.
    """

    adds_loss: ClassVar[bool] = False
    """Whether it adds to the loss; one that does looks at a batch as a whole, so its config `mixes_rows`."""

    losses: list[Tensor] | None = None

    @property
    def watching(self) -> bool:
        """Whether this forward is one of a training step."""
        return self.losses is not None

    def take_counts(self) -> Tensor | None:
        """int64 counts of all forwards since the last call; None: the module counts nothing."""
        return None

    def settle(self, counts: Tensor) -> None:
        """Changes what the step's counts, summed over microbatches and ranks, say."""


def step_aware(module: nn.Module) -> list[StepAware]:
    """The parts of a module that have a part in the training step."""
    return [part for part in module.modules() if isinstance(part, StepAware)]


@contextlib.contextmanager
def watched(parts: Sequence[StepAware]) -> Iterator[list[Tensor]]:
    """Lets the parts watch the forward inside; yields the list that fills with what they add to the loss."""
    losses: list[Tensor] = []
    for part in parts:
        part.losses = losses
    try:
        yield losses
    finally:
        for part in parts:
            part.losses = None
