"""What every maker of rows hands over: text cut into rows of one width, before any noise."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from zoo.errors import DataError

Integers = NDArray[np.int64]


class Rows(NamedTuple):
    """B rows of W places each.

    Attributes:
        tokens: (B, W) int64, the tokenizer's padding id where there is nothing.
        documents: (B, W) int64, which document of the row a place belongs to, counted 0, 1, … within the row; −1
            padding. What shares an id may see each other, nothing else may.
        positions: (B, W) int64, the place within its document of the row; 0 on padding.
        segments: (B, W) int64 in {0, 1}, or None where rows have no segments.
        special: (B, W) bool, True on special tokens that the row maker added and on padding: noise leaves them alone.
        epochs, samples: (B,) int64, which rows these are; noise is keyed by them.
        labels: what the row maker alone knows, by name: "next_token" (B, W) int64, the token after each place in the
            same document, even where it is in another row, else IGNORE_INDEX; "next_sentence" (B,) int64, 0 = B follows
            A, 1 = B is from another document.
    """

    tokens: Integers
    documents: Integers
    positions: Integers
    segments: Integers | None
    special: NDArray[np.bool_]
    epochs: Integers
    samples: Integers
    labels: dict[str, Integers]


class RowMaker(Protocol):
    """Rows by number. The composition of epoch 0 is what evaluation runs over."""

    num_rows: int
    """Rows of one epoch."""
    width: int
    """Places W of a row."""

    def rows(self, epochs: Integers, samples: Integers) -> Rows:
        """The rows (epochs[i], samples[i]); samples in [0, num_rows). A pure function of each pair alone."""


class TooShortError(DataError):
    """The text does not fill one row.

    Args:
        num_tokens: of the text, special ones included. width: places W of a row.
        source: name of the source in a mixture that the text is from; "" where there is one source only.
    """

    def __init__(self, num_tokens: int, width: int, source: str = "") -> None:
        super().__init__(
            f"{source_words(source)}the text has {num_tokens} tokens but one row needs {width}: "
            "give more text or a smaller model.max_length"
        )
        self.num_tokens = num_tokens
        self.width = width
        self.source = source

    def __reduce__(self) -> tuple[type[TooShortError], tuple[int, int, str]]:
        """How it crosses processes."""
        return TooShortError, (self.num_tokens, self.width, self.source)


def source_words(source: str) -> str:
    """How a message about one source of a mixture begins; "" where there is one source only."""
    return f"source {source}: " if source else ""


def refuse_short(num_tokens: int, width: int) -> None:
    """Raises TooShortError where the text, `num_tokens` long with its special tokens, does not fill one row."""
    if num_tokens < width:
        raise TooShortError(num_tokens, width)
