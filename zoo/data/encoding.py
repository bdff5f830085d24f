"""Documents to tokens, a batch at a time: the part of building a store that several processes share.

A function of the batch alone: who encodes it, and beside which other batches, changes nothing.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from zoo.data.sentences import sentence_starts
from zoo.errors import DataError
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
        ids, starts = self._ids(texts, numbers)
        lengths = np.array([len(one) for one in ids], dtype=OFFSET)
        flat = np.concatenate(ids) if ids else np.zeros(0, np.int64)
        stops = np.cumsum(lengths)
        self._check_range(flat, stops, numbers)
        sentences = [np.zeros(0, OFFSET)]
        for start, length, stop in zip(starts, lengths, stops, strict=self.sentences):
            if length:
                sentences.append(np.unique(np.append(0, start[start < length])) + (stop - length))
        return Encoded(flat.astype(self.dtype), lengths, np.concatenate(sentences))

    def _ids(self, texts: list[str], numbers: list[int]) -> tuple[list[np.ndarray], list[np.ndarray]]:
        try:
            if self.sentences:
                return self.tokenizer.encode_with_sentences(texts, [sentence_starts(text) for text in texts])
            return self.tokenizer.encode_batch(texts), []
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
