"""The held-out split: which documents validate. Fixed by the corpus alone, never by a run's seed or its tokenizer.

A document is held out by a hash of its text, so that a document keeps its side when others come or go, and two equal
documents are on the same side. A corpus of few documents is cut by position instead: its last tokens validate.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import numpy as np

from zoo.data.store import TokenStore
from zoo.errors import ConfigError, DataError

FEWEST_DOCUMENTS = 20
"""A corpus of fewer documents is split by position."""
_WEIGHED = 1 << 22
"""Tokens that are weighed at a time."""


class Documents(NamedTuple):
    """Some documents of a token store.

    Attributes:
        tokens: (num_tokens,) the whole store's ids, memory-mapped; other documents' lie in between.
        starts, stops: (num_documents,) int64, ascending: document d is tokens[starts[d]:stops[d]], never empty.
        sentences: ascending int64 positions in `tokens` at which sentences of these documents start, each document's
            start among them; None where the store has none.
        fingerprint: SHA-256, in hex, of all that decides these documents.
        num_bytes: of their text in UTF-8, as it was before tokenization; 0: not known.
    """

    tokens: np.ndarray
    starts: np.ndarray
    stops: np.ndarray
    sentences: np.ndarray | None
    fingerprint: str
    num_bytes: float = 0.0

    @property
    def bytes_per_token(self) -> float:
        """How many bytes of text a token stands for in the mean; 0: not known."""
        return self.num_bytes / self.num_tokens if self.num_tokens else 0.0

    @property
    def num_documents(self) -> int:
        """How many documents these are."""
        return len(self.starts)

    @property
    def num_tokens(self) -> int:
        """Tokens of these documents, special ones not counted."""
        return int((self.stops - self.starts).sum())


def split(store: TokenStore, fraction: float, spelled: np.ndarray | None = None) -> tuple[Documents, Documents]:
    """The documents to train on and those to validate on.

    Args:
        store: the corpus.
        spelled: (V,) bytes of text that each token spells, by which the bytes of a document that is cut are shared out;
            None: by its tokens.
        fraction: share of the documents (of the tokens where there are fewer than 20 documents) that validate, at least
            0 and below 1; 0: all train.

    Raises:
        ConfigError: the fraction is out of range. DataError: one side would be empty.
    """
    if not 0 <= fraction < 1:
        raise ConfigError(f"{fraction!r} must be at least 0 and below 1", "validation_fraction")
    starts, stops = np.array(store.documents[:-1]), np.array(store.documents[1:])
    if fraction == 0:
        nothing = np.zeros(0, dtype=np.int64)
        return _side(store, starts, stops, "all"), _side(store, nothing, nothing, "none")
    if store.num_documents < FEWEST_DOCUMENTS:
        # As nanoGPT's recipes cut their corpora, rounding included.
        cut = int(store.num_tokens * (1 - fraction))
        if not 0 < cut < store.num_tokens:
            raise DataError(f"the corpus has only {store.num_tokens} tokens: too few to hold out a share of {fraction}")
        before, after = starts < cut, stops > cut
        sides = (
            _side(store, starts[before], np.minimum(stops[before], cut), f"before {cut}"),
            _side(store, np.maximum(starts[after], cut), stops[after], f"after {cut}"),
        )
        both = np.flatnonzero(before & after)
        return sides if not len(both) else _with_shares(sides, store, int(both[0]), cut, spelled)
    held = _held_out(np.asarray(store.keys), fraction)
    name = hashlib.sha256(np.packbits(held).tobytes()).hexdigest()
    training = _side(store, starts[~held], stops[~held], f"without {name}")
    return training, _side(store, starts[held], stops[held], f"only {name}")


def counted(number: int, one: str, more: str = "") -> str:
    """1 → "1 document", 2554 → "2,554 documents"."""
    return f"{number:,} {one if number == 1 else more or one + 's'}"


def held_out_words(training: Documents, validation: Documents) -> str:
    """What validates, in words: so many documents, or, where the corpus was cut by position, its last part."""
    if not len(validation.starts):
        return "nothing held out"
    if validation.starts[0] < training.stops[-1]:
        return f"{counted(len(validation.starts), 'document')} held out"
    sizes = [int((side.stops - side.starts).sum()) for side in (training, validation)]
    share = f"{100 * sizes[1] / sum(sizes):.2g} %"
    return f"its last {share} held out" if len(training.starts) == 1 else f"the last {share} of the text held out"


def _held_out(keys: np.ndarray, fraction: float) -> np.ndarray:
    """(num_documents,) bool: the documents with the smallest keys, equal keys together."""
    order = np.argsort(keys, kind="stable")
    count = min(max(1, round(fraction * len(keys))), len(keys) - 1)
    ordered = keys[order]
    boundaries = np.flatnonzero(ordered[1:] != ordered[:-1]) + 1
    boundaries = boundaries[boundaries <= 2 * count]
    if len(boundaries):  # else one text makes up most of the corpus, and its copies are on both sides
        count = int(boundaries[np.argmin(np.abs(boundaries - count))])
    held = np.zeros(len(keys), dtype=bool)
    held[order[:count]] = True
    return held


def _side(store: TokenStore, starts: np.ndarray, stops: np.ndarray, name: str) -> Documents:
    fingerprint = hashlib.sha256(f"{store.fingerprint} {name}".encode()).hexdigest()
    which = np.searchsorted(store.documents[1:], starts, side="right")
    whole = (store.documents[which] == starts) & (store.documents[which + 1] == stops)
    num_bytes = int(store.bytes[which[whole]].sum())
    return Documents(store.tokens, starts, stops, _sentences(store.sentences, starts, stops), fingerprint, num_bytes)


def _with_shares(
    sides: tuple[Documents, Documents], store: TokenStore, document: int, cut: int, spelled: np.ndarray | None
) -> tuple[Documents, Documents]:
    """Both sides, each with its share of the bytes of the one document that is cut between them."""
    start, stop, num_bytes = (int(each) for each in (*store.documents[document : document + 2], store.bytes[document]))
    weights = np.ones(store.vocab_size) if spelled is None else spelled
    before, after = (_weigh(store.tokens[first:last], weights) for first, last in ((start, cut), (cut, stop)))
    share = before / (before + after) if before + after else 0.5
    first, second = sides
    return (
        first._replace(num_bytes=first.num_bytes + num_bytes * share),
        second._replace(num_bytes=second.num_bytes + num_bytes * (1 - share)),
    )


def _weigh(tokens: np.ndarray, weights: np.ndarray) -> float:
    """Sum of the weights of the tokens, in bounded memory."""
    parts = (tokens[start : start + _WEIGHED] for start in range(0, len(tokens), _WEIGHED))
    return float(sum(np.bincount(part, minlength=len(weights)) @ weights for part in parts))


def _sentences(sentences: np.ndarray | None, starts: np.ndarray, stops: np.ndarray) -> np.ndarray | None:
    if sentences is None:
        return None
    places = np.asarray(sentences)
    if not len(starts):
        return places[:0].copy()
    document = np.searchsorted(starts, places, side="right") - 1
    inside = (document >= 0) & (places < stops[np.maximum(document, 0)])
    # A document that was cut begins with what is left of a sentence.
    return np.union1d(places[inside], starts)
