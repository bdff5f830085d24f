"""Which rows step N trains on: a function of (number of rows, rows of each step, seed, N), and nothing else.

Rows are numbered through: with R rows a step, step N holds the numbers N·R … N·R + R − 1; where the rows of a step grow
(`stages.py`), it goes on from the sum of those before. A number n belongs to epoch n // num_rows, and to
the row that the epoch's own random order has at n % num_rows. So a step may span epochs, no row is left out or seen
twice in an epoch, and any step is found at once, whoever asks.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from zoo.data.counter import permuted
from zoo.data.rows import Integers
from zoo.data.stages import Stages, constant
from zoo.errors import ConfigError


class Draw(NamedTuple):
    """Rows by number: `epochs` and `samples`, both (B,) int64."""

    epochs: Integers
    samples: Integers


class Plan:
    """The order of training.

    Args:
        num_rows: rows of one epoch, at least 1.
        rows_per_step: R, rows of one optimizer step, over all ranks and microbatches; or of each step.
        seed: of the order.
        first_step: the step that begins with the first row.
        shuffle: whether an epoch has a random order; False: the rows come as they are numbered, for rows that are
            spread out already.
    """

    def __init__(
        self, num_rows: int, rows_per_step: int | Stages, seed: int, first_step: int = 0, shuffle: bool = True
    ) -> None:
        self.rows = constant(rows_per_step) if isinstance(rows_per_step, int) else rows_per_step
        assert num_rows >= 1, num_rows
        assert min(self.rows.values) >= 1, self.rows.values
        self.num_rows = num_rows
        self.rows_per_step = max(self.rows.values)
        self.seed = seed
        self.first_step = first_step
        self.shuffle = shuffle

    def step(self, step: int) -> Draw:
        """The rows of optimizer step `step` (from 0), (R,) each."""
        before = self.rows.sum_before(step) - self.rows.sum_before(self.first_step)
        number_R = before + np.arange(self.rows.value(step))
        epochs, places = np.divmod(number_R, self.num_rows)
        if not self.shuffle:
            return Draw(epochs, places)
        return Draw(epochs, permuted(self.seed, "order", epochs, places, self.num_rows))

    def microbatches(self, step: int, num_microbatches: int = 1, rank: int = 0, num_ranks: int = 1) -> list[Draw]:
        """What one rank works on in a step, a draw for each microbatch; all ranks' in order make up `step(step)`.

        A step of fewer rows than the largest has as few microbatches as it can without a larger one than that has.

        Raises:
            ConfigError: the rows of a step cannot be shared out evenly.
        """
        self.check_shares(num_microbatches, num_ranks)
        epochs, samples = (numbers.reshape(num_ranks, -1)[rank] for numbers in self.step(step))
        count = -(-len(epochs) * num_microbatches * num_ranks // self.rows_per_step)
        parts = zip(np.array_split(epochs, count), np.array_split(samples, count), strict=True)
        return [Draw(epochs_B, samples_B) for epochs_B, samples_B in parts]

    def check_shares(self, num_microbatches: int, num_ranks: int, key: str = "") -> None:
        """Raises ConfigError, under `key`, where the rows of some step cannot be shared out."""
        check_shares(self.rows_per_step, num_microbatches, num_ranks, key)
        for rows in self.rows.values:
            check_shares(rows, 1, num_ranks, key)


def check_shares(rows_per_step: int, num_microbatches: int, num_ranks: int, key: str = "") -> None:
    """Raises ConfigError, under `key`, where a step's rows cannot be shared out to all microbatches of all ranks."""
    shares = num_microbatches * num_ranks
    if rows_per_step % shares:
        below = rows_per_step // shares * shares
        legal = [str(size) for size in (below, below + shares, below + 2 * shares) if size]
        raise ConfigError(
            f"{rows_per_step} rows a step cannot be shared out to {num_ranks} rank{'s' * (num_ranks > 1)} with "
            f"{num_microbatches} microbatch{'es' * (num_microbatches > 1)} each: take a multiple of {shares}, "
            f"for example {', '.join(legal)}",
            key,
        )


def evaluation_batches(num_rows: int, rows_per_batch: int, rank: int = 0, num_ranks: int = 1) -> list[Draw]:
    """All rows of epoch 0 in order, for evaluation: this rank's share of the batches; the last may be smaller."""
    starts = range(0, num_rows, rows_per_batch)[rank::num_ranks]
    samples = [np.arange(start, min(start + rows_per_batch, num_rows)) for start in starts]
    return [Draw(np.zeros_like(samples_B), samples_B) for samples_B in samples]
