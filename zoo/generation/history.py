"""What the rows of a batch hold so far: what penalties, n-grams and minimum lengths look at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

NO_TOKEN = -1
"""Stands in a history where a row holds nothing (the padding of a shorter prompt)."""


class History(NamedTuple):
    """The tokens of each row up to now.

    Attributes:
        tokens_BS: (B, S) int64, oldest first: the prompt (of an encoder-decoder: what its decoder begins with), then
            what was written; NO_TOKEN on the left of prompts that are shorter than others.
        num_new: how many of them were written, the same for all rows.
        live_B: (B,) bool, False where the row has ended and what is chosen for it means nothing.
        stop: ids that end a row.
        last: ids of which one is the last token of a row that gets as long as it may; (): whichever comes.
        barred: runs of ids that are never written.
        barred_first: ids that are not written first, behind what is forced.
        num_forced: how many tokens are forced at the beginning.
        limits_B: (B,) int64 how many tokens each row may get; None: `last` is not heeded.
    """

    tokens_BS: Tensor
    num_new: int
    live_B: Tensor
    stop: tuple[int, ...] = ()
    last: tuple[int, ...] = ()
    barred: tuple[tuple[int, ...], ...] = ()
    barred_first: tuple[int, ...] = ()
    num_forced: int = 0
    limits_B: Tensor | None = None

    @property
    def written(self) -> Tensor:
        """(B, num_new) the tokens that were written."""
        return self.tokens_BS[:, self.tokens_BS.shape[1] - self.num_new :]

    def extended(self, chosen_B: Tensor, live_B: Tensor) -> History:
        """With one token more in each row."""
        tokens_BS = torch.cat((self.tokens_BS, chosen_B[:, None]), dim=1)
        return self._replace(tokens_BS=tokens_BS, num_new=self.num_new + 1, live_B=live_B)

    def selected(self, rows_R: Tensor) -> History:
        """Of these rows, which may come several times or not at all."""
        limits_R = None if self.limits_B is None else self.limits_B[rows_R]
        return self._replace(tokens_BS=self.tokens_BS[rows_R], live_B=self.live_B[rows_R], limits_B=limits_R)


def begin(rows: Sequence[Sequence[int]], stop: tuple[int, ...], device: torch.device) -> History:
    """The history of rows behind which nothing has been written yet."""
    width = max(len(row) for row in rows)
    tokens = [[NO_TOKEN] * (width - len(row)) + list(row) for row in rows]
    return History(
        torch.tensor(tokens, dtype=torch.int64, device=device),
        0,
        torch.ones(len(rows), dtype=torch.bool, device=device),
        stop,
    )


def counts(tokens_BS: Tensor, vocab_size: int, dtype: torch.dtype) -> Tensor:
    """(B, vocab_size): how often each token stands in each row; NO_TOKEN and ids past the vocabulary are left out."""
    outside_BS = (tokens_BS < 0) | (tokens_BS >= vocab_size)
    places_BS = tokens_BS.masked_fill(outside_BS, vocab_size)
    counts_BV = torch.zeros(len(tokens_BS), vocab_size + 1, dtype=dtype, device=tokens_BS.device)
    return counts_BV.scatter_add_(1, places_BS, torch.ones_like(places_BS, dtype=dtype))[:, :vocab_size]
