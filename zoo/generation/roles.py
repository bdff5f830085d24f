"""What the loop that writes tokens has to know of a tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch

from zoo.generation.history import History, begin


class TokenRoles(NamedTuple):
    """Ids that mean something to the loop.

    Attributes:
        vocab_size: ids that may be written are below it; a model's table may be larger.
        padding: id of places that hold nothing.
        stop: ids that end a row.
        start: what an encoder-decoder's output begins with; None: with `padding`, as in training (T5).
        last: ids of which one is the last token of a row that gets as long as it may; (): whichever comes.
        barred: runs of ids that are never written.
        barred_first: ids that are not written first, behind what is forced.
        num_forced: how many tokens are forced at the beginning.
        num_least: how many are written before a row may end, so many of which there must be room for.
    """

    vocab_size: int
    padding: int
    stop: tuple[int, ...] = ()
    start: int | None = None
    last: tuple[int, ...] = ()
    barred: tuple[tuple[int, ...], ...] = ()
    barred_first: tuple[int, ...] = ()
    num_forced: int = 0
    num_least: int = 0

    def begin(self, rows: Sequence[Sequence[int]], device: torch.device) -> History:
        """The history of rows behind which nothing has been written yet, and what may be."""
        return begin(rows, self.stop, device)._replace(
            last=self.last, barred=self.barred, barred_first=self.barred_first, num_forced=self.num_forced
        )
