"""Special tokens around pieces of text, and windows on the result laid into rows.

A frame is what goes before and after each text ([CLS] … [SEP], … <|endoftext|>). Framed texts are never stored: a run
says which window of which framed text stands where in which row, and `lay` gathers all runs of a batch from the memory
map at once.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from zoo.batch import IGNORE_INDEX, PADDING_DOCUMENT
from zoo.data.rows import Integers, Rows


class Frame(NamedTuple):
    """Special tokens around a text.

    Attributes:
        before, after: token ids put before and after it.
        padding: token id of places that hold nothing.
    """

    before: tuple[int, ...]
    after: tuple[int, ...]
    padding: int

    @property
    def size(self) -> int:
        """How many tokens the frame adds."""
        return len(self.before) + len(self.after)


class Runs(NamedTuple):
    """Windows on framed texts, in the order of their places; all (R,) int64.

    Attributes:
        rows, columns: where in the batch the run begins; the runs of a row follow each other without a gap from column
            0.
        documents: the document id that its places get in the row.
        starts, lengths: the text: where it begins in the token store, and its tokens without the frame.
        firsts, counts: the window: its first token, counted from the beginning of the frame, and how many tokens it
            has.
    """

    rows: Integers
    columns: Integers
    documents: Integers
    starts: Integers
    lengths: Integers
    firsts: Integers
    counts: Integers


def lay(tokens: NDArray[np.integer], frame: Frame, runs: Runs, epochs: Integers, samples: Integers, width: int) -> Rows:
    """The rows that the runs describe.

    Args:
        tokens: the token store, flat.
        frame: special tokens around each text.
        runs: at least one for each row.
        epochs, samples: (B,) which rows these are.
        width: W, places of a row.
    """
    shape = (len(samples), width)
    begin = np.cumsum(runs.counts) - runs.counts  # where each run begins among all places that hold something
    place = np.arange(int(runs.counts.sum()))
    source = np.repeat(runs.starts + runs.firsts - len(frame.before) - begin, runs.counts)
    source += place
    found = tokens.take(source, mode="clip").astype(np.int64)  # places of the frame are out of range; filled in below
    special = np.zeros(len(place), bool)
    for offset, token in enumerate(frame.before):
        _place(found, special, runs, begin, np.full_like(begin, offset), token)
    for offset, token in enumerate(frame.after):
        _place(found, special, runs, begin, len(frame.before) + runs.lengths + offset, token)

    following = np.empty_like(found)
    following[:-1] = found[1:]
    following[begin + runs.counts - 1] = _following(tokens, frame, runs)

    positions = place - np.repeat(begin, runs.counts)
    documents = np.repeat(runs.documents, runs.counts)
    if len(place) == shape[0] * width:  # full rows: the runs are the rows
        target = None
    else:
        target = np.repeat(runs.rows * width + runs.columns - begin, runs.counts)
        target += place
    return Rows(
        tokens=_scatter(found, target, shape, frame.padding),
        documents=_scatter(documents, target, shape, PADDING_DOCUMENT),
        positions=_scatter(positions, target, shape, 0),
        segments=None,
        special=_scatter(special, target, shape, True),
        epochs=epochs,
        samples=samples,
        labels={"next_token": _scatter(following, target, shape, IGNORE_INDEX)},
    )


def _place(found: Integers, special: NDArray[np.bool_], runs: Runs, begin: Integers, at: Integers, token: int) -> None:
    """Writes one token of the frame, `at` places into each framed text, wherever it is inside the window."""
    inside = (at >= runs.firsts) & (at < runs.firsts + runs.counts)
    index = (begin + at - runs.firsts)[inside]
    found[index] = token
    special[index] = True


def _following(tokens: NDArray[np.integer], frame: Frame, runs: Runs) -> Integers:
    """(R,) the token of the framed text just after each window; IGNORE_INDEX where the text is over."""
    at = runs.firsts + runs.counts - len(frame.before)
    following = tokens.take(runs.starts + at, mode="clip").astype(np.int64)
    for offset, token in enumerate(frame.before):
        following[at == offset - len(frame.before)] = token
    for offset, token in enumerate(frame.after):
        following[at == runs.lengths + offset] = token
    following[at >= runs.lengths + len(frame.after)] = IGNORE_INDEX
    return following


def _scatter(values: NDArray, target: Integers | None, shape: tuple[int, int], empty: int | bool) -> NDArray:
    if target is None:
        return values.reshape(shape)
    result = np.full(shape, empty, values.dtype)
    result.ravel()[target] = values
    return result
