"""Rows from documents: cut from one long stream, or whole pieces packed side by side.

In both, every place carries the id of its document within the row, so that no document sees its neighbour, and
positions begin anew with each. Rows are numbered, and a row is made from its number by searching the offsets and
gathering from the memory map; nothing is drawn, shuffled or kept between calls.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np

from zoo.data.best_fit import best_fit
from zoo.data.counter import uniform
from zoo.data.framing import Frame, Runs, lay
from zoo.data.rows import Integers, Rows, refuse_short
from zoo.data.split import Documents
from zoo.errors import DataError


class StreamRows:
    """Framed documents one after another, cut every `width` tokens.

    In each epoch every token of the stream is in exactly one row, and as "next_token" labels reach over the end of a
    row, each token that has one before it in its document is predicted exactly once. The last row ends in padding.

    Args:
        documents: the text.
        frame: special tokens around each document.
        width: tokens of a row.
        seed: of the shift.
        shift: whether an epoch begins at a random offset below `width` (and goes round at the end), so that the rows of
            different epochs have different borders. Epoch 0, which evaluation runs over, begins at the beginning.

    Raises:
        DataError: the stream is shorter than one row.
    """

    def __init__(self, documents: Documents, frame: Frame, width: int, seed: int = 0, shift: bool = True) -> None:
        lengths = documents.stops - documents.starts
        kept = lengths > 0
        self.tokens = np.asarray(documents.tokens)
        self.starts = documents.starts[kept]
        self.lengths = lengths[kept]
        self.borders = np.concatenate([[0], np.cumsum(self.lengths + frame.size)]).astype(np.int64)
        self.frame = frame
        self.width = width
        self.seed = seed
        self.shift = shift
        refuse_short(int(self.borders[-1]), width)
        self.num_rows = -(-int(self.borders[-1]) // width)

    def rows(self, epochs: Integers, samples: Integers) -> Rows:
        """The rows (epochs[i], samples[i]), a pure function of each pair."""
        total, num_documents = self.borders[-1], len(self.starts)
        begin_B = samples * self.width
        end_B = np.minimum(begin_B + self.width, total)
        if self.shift:
            offset_B = self._offsets(epochs)
            begin_B, end_B = begin_B + offset_B, end_B + offset_B

        # Documents are counted on past the end of the stream, where it goes round.
        first_B, last_B = self._document_at(begin_B), self._document_at(end_B - 1)
        counts_B = last_B - first_B + 1
        row_R = np.repeat(np.arange(len(samples)), counts_B)
        within_R = np.arange(len(row_R)) - np.repeat(np.cumsum(counts_B) - counts_B, counts_B)
        round_R, document_R = np.divmod(first_B[row_R] + within_R, num_documents)
        border_R = self.borders[document_R] + round_R * total
        lower_R = np.maximum(border_R, begin_B[row_R])
        upper_R = np.minimum(self.borders[document_R + 1] + round_R * total, end_B[row_R])
        runs = Runs(
            rows=row_R,
            columns=lower_R - begin_B[row_R],
            documents=within_R,
            starts=self.starts[document_R],
            lengths=self.lengths[document_R],
            firsts=lower_R - border_R,
            counts=upper_R - lower_R,
        )
        return lay(self.tokens, self.frame, runs, epochs, samples, self.width)

    def _offsets(self, epochs: Integers) -> Integers:
        drawn = uniform(self.seed, "shift", epochs, np.zeros_like(epochs), 1)[:, 0]
        return np.where(epochs == 0, 0, (drawn * self.width).astype(np.int64))

    def _document_at(self, place_B: Integers) -> Integers:
        round_B, place_B = np.divmod(place_B, self.borders[-1])
        return np.searchsorted(self.borders, place_B, side="right") - 1 + round_B * len(self.starts)


class Fit(NamedTuple):
    """How documents are cut so that pieces fit into rows.

    Attributes:
        capacity: slots of a row.
        size: (n,) tokens of pieces → (n,) slots that they take; never falls with the number of tokens.
        shortest: fewest tokens of a piece. Where cutting leaves less than that, the piece before gives some up; a
            document with less than that in all is left out.
        framed: whether each piece has its own frame ([CLS] piece [SEP]; `size` is asked about tokens without the
            frame), or the document has one and is cut with it (`size` is asked about framed tokens).
    """

    capacity: int
    size: Callable[[Integers], Integers]
    shortest: int = 1
    framed: Literal["piece", "document"] = "piece"

    @property
    def longest(self) -> int:
        """Most tokens of a piece; less than `shortest` where not even that fits."""
        bound = 2
        while int(self.size(np.asarray([bound]))[0]) <= self.capacity:
            bound *= 2
        return int(np.searchsorted(self.size(np.arange(1, bound + 1)), self.capacity, side="right"))


class DocumentRows:
    """Documents cut into pieces that fit into a row; short pieces share a row.

    The pieces and their rows are the same in every epoch. Rows are filled best fit decreasing (`best_fit.py`).

    Args:
        documents: the text.
        frame: special tokens around each piece or each document, as `fit` says.
        width: places W of the rows that `rows` returns; None: as many as the fullest row needs.
        fit: which pieces fit into a row.
        pack: whether pieces share rows; False: one piece a row.

    Attributes:
        num_rows: rows of one epoch.
        num_pieces: pieces in all rows.
        left_out: documents that are too short for a piece.

    Raises:
        DataError: the text is shorter than one row.
    """

    def __init__(self, documents: Documents, frame: Frame, width: int | None, fit: Fit, pack: bool = True) -> None:
        assert fit.longest >= 2 * fit.shortest - 1, (fit.longest, fit.shortest)
        self.tokens = np.asarray(documents.tokens)
        self.frame = frame
        lengths = documents.stops - documents.starts
        around = frame.size if fit.framed == "document" else 0
        owners, firsts, counts = _cut(lengths + around, fit)
        framed = len(counts) if fit.framed == "piece" else len(lengths)
        refuse_short(int(lengths.sum()) + frame.size * framed, fit.longest if width is None else width)
        self.left_out = int((lengths + around < fit.shortest).sum())
        if not len(counts):
            raise DataError(
                f"none of the {len(lengths)} documents has the {fit.shortest} tokens that a row needs at least"
            )

        bins = best_fit(fit.size(counts), fit.capacity) if pack else np.arange(len(counts))
        order = np.argsort(bins, kind="stable")
        owners, firsts, counts = owners[order], firsts[order], counts[order]
        self.num_pieces = len(counts)
        if fit.framed == "piece":
            self.starts, self.lengths = documents.starts[owners] + firsts, counts
            self.firsts, self.counts = np.zeros_like(counts), counts + frame.size
        else:
            self.starts, self.lengths = documents.starts[owners], lengths[owners]
            self.firsts, self.counts = firsts, counts
        row_of_piece = bins[order]
        self.num_rows = int(row_of_piece[-1]) + 1
        self.row_borders = np.searchsorted(row_of_piece, np.arange(self.num_rows + 1))
        before = np.cumsum(self.counts) - self.counts
        self.columns = before - before[self.row_borders[row_of_piece]]
        self.width = int((self.columns + self.counts).max()) if width is None else width

    def rows(self, epochs: Integers, samples: Integers) -> Rows:
        """The rows (epochs[i], samples[i]), a pure function of each sample; epochs do not change them."""
        first_B = self.row_borders[samples]
        counts_B = self.row_borders[samples + 1] - first_B
        row_R = np.repeat(np.arange(len(samples)), counts_B)
        within_R = np.arange(len(row_R)) - np.repeat(np.cumsum(counts_B) - counts_B, counts_B)
        piece_R = first_B[row_R] + within_R
        runs = Runs(
            rows=row_R,
            columns=self.columns[piece_R],
            documents=within_R,
            starts=self.starts[piece_R],
            lengths=self.lengths[piece_R],
            firsts=self.firsts[piece_R],
            counts=self.counts[piece_R],
        )
        return lay(self.tokens, self.frame, runs, epochs, samples, self.width)


def _cut(lengths: Integers, fit: Fit) -> tuple[Integers, Integers, Integers]:
    """Cuts texts of these lengths: for each piece its text, its first token in it, and its number of tokens."""
    longest = fit.longest
    pieces_D = np.where(lengths < fit.shortest, 0, -(-lengths // longest))
    owners = np.repeat(np.arange(len(lengths)), pieces_D)
    number = np.arange(len(owners)) - np.repeat(np.cumsum(pieces_D) - pieces_D, pieces_D)
    begin = number * longest
    is_last = number == pieces_D[owners] - 1
    missing = fit.shortest - (lengths[owners] - begin)
    begin = np.where(is_last & (number > 0) & (missing > 0), begin - missing, begin)
    end = np.where(is_last, lengths[owners], np.append(begin[1:], 0))
    return owners, begin, end - begin
