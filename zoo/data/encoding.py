"""Documents to tokens, a batch at a time: the part of building a store that several processes share.

A function of the batch alone: who encodes it, and beside which other batches, changes nothing.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from zoo.data.sentences import sentence_starts
from zoo.errors import DataError
from zoo.tokenizer.joining import FlatIds
from zoo.tokenizer.tokenizer import Tokenizer

OFFSET = np.dtype("<i8")
"""Of places in a store."""


def token_dtype(vocab_size: int) -> np.dtype:
    """The smallest dtype that holds every id of a vocabulary: uint16 up to 65,536 entries, uint32 beyond."""
    if vocab_size <= 1 << 16:
        return np.dtype("<u2")
    if vocab_size <= 1 << 32:
        return np.dtype("<u4")
    raise DataError(f"a vocabulary of {vocab_size} entries does not fit into 32 bits")


class Encoded(NamedTuple):
    """The tokens of a batch of documents.

    Attributes:
        tokens: (num_tokens,) of `token_dtype`, all documents one after another.
        lengths: (num_documents,) int64, tokens of each document; 0 where it has none.
        sentences: ascending int64 positions in `tokens` at which sentences start, the start of each document that has
            tokens among them; empty where they were not asked for.
    """

    tokens: np.ndarray
    lengths: np.ndarray
    sentences: np.ndarray


class Encoder:
    """Makes tokens of the documents that a filter left.

    Args:
        tokenizer: what makes ids of text.
        sentences: whether to find out where sentences start.
    """

    def __init__(self, tokenizer: Tokenizer, sentences: bool) -> None:
        self.tokenizer, self.sentences = tokenizer, sentences
        self.dtype = token_dtype(tokenizer.vocab_size)

    def encode(self, texts: list[str], numbers: list[int]) -> Encoded:
        """The tokens of texts; `numbers` are the documents' numbers in the source, for messages.

        Raises:
            DataError: a document cannot be encoded, or an id is not in the vocabulary; it names the document.
        """
        ids, lengths, starts = self._ids(texts, numbers)
        stops = np.cumsum(lengths)
        self._check_range(ids, stops, numbers)
        if self.sentences:
            # A sentence without a token of its own is where another one is, or behind all tokens.
            starts = np.union1d((stops - lengths)[lengths > 0], starts[starts < len(ids)])
        return Encoded(ids.astype(self.dtype), lengths, starts)

    def _ids(self, texts: list[str], numbers: list[int]) -> FlatIds:
        try:
            starts = [sentence_starts(text) for text in texts] if self.sentences else None
            return self.tokenizer.encode_flat(texts, starts)
        except DataError as error:
            if len(texts) == 1:
                raise DataError(f"document {numbers[0]} of the corpus (counted from 0): {error}") from None
        for text, number in zip(texts, numbers, strict=True):  # one by one, to find out which it was
            self._ids([text], [number])
        raise DataError(f"documents {numbers[0]} to {numbers[-1]} of the corpus can be encoded alone but not together")

    def _check_range(self, flat: np.ndarray, stops: np.ndarray, numbers: list[int]) -> None:
        size = self.tokenizer.vocab_size
        if not len(flat) or (flat.min() >= 0 and flat.max() < size):
            return
        place = int(np.flatnonzero((flat < 0) | (flat >= size))[0])
        number = numbers[int(np.searchsorted(stops, place, side="right"))]
        raise DataError(
            f"document {number} of the corpus (counted from 0): the tokenizer made the id {flat[place]} of it, "
            f"which is not in its vocabulary (0 … {size - 1})"
        )
