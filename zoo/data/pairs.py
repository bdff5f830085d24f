"""Rows of two pieces of text, [CLS] A [SEP] B [SEP], for next-sentence prediction.

Devlin et al. 2018, arXiv:1810.04805, appendix A.2, and its released `create_pretraining_data.py`: consecutive sentences
of one document are gathered until a row is full, the border between A and B is drawn among their ends, and with
probability one half B is replaced by text from another document; the longer of a too long pair is cut.

Deviations. The gathered chunks are the same in every epoch, so that rows can be numbered; only border, replacement and
cuts are drawn anew (BERT draws chunks again for each of its ten copies of the data). Where B is replaced, the true B is
not used in that epoch (BERT goes on from it). A chunk has two sentences at least: a last sentence on its own joins the
chunk before it (BERT makes it an A whose B is always random, which moves the share off one half). What is cut off falls
uniformly on the front and the back of the longer piece (BERT tosses a coin for each token).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from zoo.batch import PADDING_DOCUMENT
from zoo.data.counter import uniform
from zoo.data.rows import Integers, Rows, refuse_short
from zoo.data.split import Documents
from zoo.errors import DataError

IS_NEXT, IS_RANDOM = 0, 1
"""The labels "next_sentence", as in the original."""


class TooFewDocumentsError(DataError):
    """There are not two documents of two sentences: nothing to draw a sentence of another document from."""


class PairTokens(NamedTuple):
    """Ids of the special tokens of a pair."""

    classify: int
    separate: int
    padding: int


class PairRows:
    """One pair a row.

    Args:
        documents: the text, with sentences.
        special: ids of [CLS], [SEP] and [PAD].
        width: places W of a row, special tokens included; at least 5.
        short_share: probability that a row aims at a random length below the full one, as in BERT.
        seed: of all that is drawn.

    Attributes:
        num_rows: chunks, which are the rows of one epoch.
        left_out: documents with a single sentence, which cannot give a pair.

    Raises:
        TooFewDocumentsError: fewer than two of them have two sentences. DataError: the documents have no sentences, or
            the text is shorter than one row.
    """

    def __init__(self, documents: Documents, special: PairTokens, width: int, short_share: float, seed: int) -> None:
        assert width >= 5, width
        if documents.sentences is None:
            raise DataError("next-sentence pairs need sentences, but the token store was built without them")
        refuse_short(int((documents.stops - documents.starts).sum()), width)
        self.tokens = np.asarray(documents.tokens)
        self.special = special
        self.width = width
        self.room = width - 3
        self.short_share = short_share
        self.seed = seed
        self._find_sentences(documents, documents.sentences)
        self._find_chunks()

    def rows(self, epochs: Integers, samples: Integers) -> Rows:
        """The rows (epochs[i], samples[i]), a pure function of each pair."""
        draws = uniform(self.seed, "pairs", epochs, samples, 8).T
        document, first = self.chunk_document[samples], self.chunk_first[samples]
        short_target = 2 + (draws[1] * (self.room - 1)).astype(np.int64)
        target = np.where(draws[0] < self.short_share, short_target, self.room)
        enough = np.searchsorted(self.sentences, self.sentences[first] + target)
        stop = np.minimum(self.chunk_stop[samples], np.maximum(enough, first + 2))

        border = first + 1 + (draws[2] * (stop - first - 1)).astype(np.int64)
        a_start, a_stop = self.sentences[first], self.sentences[border]
        is_random = draws[3] < 0.5
        other, other_start = self._sentence_elsewhere(document, draws[4], draws[5])
        wanted = np.maximum(1, target - (a_stop - a_start))
        other_stop = np.searchsorted(self.sentences, self.sentences[other_start] + wanted)
        b_start = self.sentences[np.where(is_random, other_start, border)]
        b_stop = np.where(is_random, self._begin_of(other_stop, other), self._begin_of(stop, document))

        a_start, a_length, b_start, b_length = self._shortened(
            (a_start, a_stop - a_start), (b_start, b_stop - b_start), draws[6], draws[7]
        )
        labels = np.where(is_random, IS_RANDOM, IS_NEXT)
        return self._laid(a_start, a_length, b_start, b_length)._replace(
            epochs=epochs, samples=samples, labels={"next_sentence": labels}
        )

    def _find_sentences(self, documents: Documents, sentences: Integers) -> None:
        """Sentences of the documents that have two or more, one document after another."""
        order = np.argsort(documents.starts, kind="stable")
        order = order[documents.stops[order] > documents.starts[order]]
        starts, stops = documents.starts[order], documents.stops[order]
        owner = np.searchsorted(starts, sentences, side="right") - 1
        inside = (owner >= 0) & (sentences < stops[np.maximum(owner, 0)])
        begins = np.union1d(sentences[inside], starts)  # a held-out part may begin in the middle of a sentence
        owner = np.searchsorted(starts, begins, side="right") - 1
        counts = np.bincount(owner, minlength=len(starts))
        usable = counts >= 2
        self.left_out = int((~usable).sum())
        if usable.sum() < 2:
            raise TooFewDocumentsError(
                "next-sentence pairs need two documents or more with two sentences or more each, but "
                f"{int(usable.sum())} of {len(usable)} documents have that; say where documents of a text begin "
                "(data.source.document=blank_line or line), give more documents, or hold out more of them if these are "
                "the held-out ones (data.validation_fraction)"
            )
        self.sentences = begins[usable[owner]]
        self.document_stops = stops[usable]
        borders = np.concatenate([[0], np.cumsum(counts[usable])]).astype(np.int64)
        self.first_sentence, self.last_sentence = borders[:-1], borders[1:]

    def _find_chunks(self) -> None:
        """Sentences gathered until they fill a row; each chunk ends where the next one begins."""
        document = np.repeat(np.arange(len(self.first_sentence)), self.last_sentence - self.first_sentence)
        index = np.arange(len(document))
        after = np.maximum(np.searchsorted(self.sentences, self.sentences + self.room), index + 2)
        last = self.last_sentence[document]
        after = np.where(after >= last - 1, last, after)  # a single sentence that would be left joins this chunk
        following, firsts, first = after.tolist(), [], 0
        while first < len(following):
            firsts.append(first)
            first = following[first]
        self.chunk_first = np.asarray(firsts, np.int64)
        self.chunk_stop = after[self.chunk_first]
        self.chunk_document = document[self.chunk_first]
        self.num_rows = len(firsts)

    def _sentence_elsewhere(
        self, document: Integers, draw_document: NDArray[np.float64], draw_sentence: NDArray[np.float64]
    ) -> tuple[Integers, Integers]:
        """A document that is not the given one, each other one equally likely, and a sentence of it, likewise."""
        num_documents = len(self.first_sentence)
        other = document + 1 + (draw_document * (num_documents - 1)).astype(np.int64)
        other %= num_documents
        first, last = self.first_sentence[other], self.last_sentence[other]
        return other, first + (draw_sentence * (last - first)).astype(np.int64)

    def _begin_of(self, sentence: Integers, document: Integers) -> Integers:
        """Where a sentence begins; where the document is over, the end of the document."""
        over = sentence >= self.last_sentence[document]
        begin = self.sentences[np.minimum(sentence, len(self.sentences) - 1)]
        return np.where(over, self.document_stops[document], begin)

    def _shortened(
        self,
        a: tuple[Integers, Integers],
        b: tuple[Integers, Integers],
        draw_a: NDArray[np.float64],
        draw_b: NDArray[np.float64],
    ) -> tuple[Integers, Integers, Integers, Integers]:
        """Cuts the longer of A and B (start, length), then both in turn, until they fit."""
        (a_start, a_length), (b_start, b_length) = a, b
        a_kept = np.minimum(a_length, np.maximum(self.room - b_length, (self.room + 1) // 2))
        b_kept = np.minimum(b_length, self.room - a_kept)
        a_start = a_start + (draw_a * (a_length - a_kept + 1)).astype(np.int64)
        b_start = b_start + (draw_b * (b_length - b_kept + 1)).astype(np.int64)
        return a_start, a_kept, b_start, b_kept

    def _laid(self, a_start: Integers, a_length: Integers, b_start: Integers, b_length: Integers) -> Rows:
        place_W = np.arange(self.width)
        first_end_B1, last_end_B1 = (1 + a_length)[:, None], (2 + a_length + b_length)[:, None]
        second = place_W > first_end_B1
        inside = place_W <= last_end_B1
        separators = (place_W == first_end_B1) | (place_W == last_end_B1)
        special = separators | ~inside | (place_W == 0)
        source = place_W + np.where(second, b_start[:, None] - first_end_B1 - 1, a_start[:, None] - 1)
        tokens = self.tokens.take(source, mode="clip").astype(np.int64)
        tokens[separators] = self.special.separate
        tokens[:, 0] = self.special.classify
        tokens[~inside] = self.special.padding
        nothing = np.zeros(len(tokens), np.int64)
        return Rows(
            tokens=tokens,
            documents=np.where(inside, 0, PADDING_DOCUMENT),
            positions=np.where(inside, place_W, 0),
            segments=(second & inside).astype(np.int64),
            special=special,
            epochs=nothing,
            samples=nothing,
            labels={},
        )
