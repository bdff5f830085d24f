"""The filter of a source: which documents are kept, and in which Unicode form.

    document → normalization → not empty? → long enough? → not seen before? → kept

Everything behind it (the tokenizer's training, the token store, the split) sees what the filter leaves. Documents go
through in the order of the source, in batches of any size; the first of several equal ones stays.

What is dropped is counted by reason. A document without any token, which only the tokenizer can tell, is counted by the
store as one more reason.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from typing import Literal, NamedTuple

import numpy as np

from zoo.config import Config, setting, to_mapping
from zoo.errors import DataError

KEY = np.dtype("<u8")
"""Of the hash of a document's text: 64 bits. Among 10⁸ documents, two different ones share it with probability 3e-4."""
REASONS = {
    "empty": "empty",
    "too_short": "too short",
    "duplicate": "equal to an earlier one",
    "no_tokens": "without any token",
}
"""Why a document is dropped, in the order in which it is asked, and how that is said."""
_BATCH_CHARACTERS = 1 << 20
_BATCH_DOCUMENTS = 1 << 13


@dataclasses.dataclass(frozen=True, kw_only=True)
class FilterConfig(Config):
    """Which documents of a source are kept. Those that hold nothing but white space never are."""

    normalization: Literal["none", "NFC", "NFD", "NFKC", "NFKD"] = setting(
        "none",
        "Unicode form that each document is brought into first: composed (NFC) or decomposed (NFD); with K also "
        "ligatures, widths, superscripts made plain; none: as the source has it",
    )
    minimum_characters: int = setting(1, "characters a document must have; shorter ones are dropped", minimum=1)
    deduplicate: bool = setting(False, "keep only the first of documents with equal text (8 bytes of memory for each)")


class Kept(NamedTuple):
    """What a filter leaves of some consecutive documents.

    Attributes:
        texts: the documents that stay. numbers: the number of each in the source, from 0.
        keys: (num_kept,) uint64, a hash of each one's text. sizes: (num_kept,) int64, bytes of each in UTF-8.
        num_read: documents that were looked at. dropped: reason → how many of them went.
    """

    texts: list[str]
    numbers: list[int]
    keys: np.ndarray
    sizes: np.ndarray
    num_read: int
    dropped: dict[str, int]


class Filter:
    """A filter at work on one pass over a source."""

    def __init__(self, config: FilterConfig) -> None:
        self._normalized: Callable[[str], str] = _unchanged
        if config.normalization != "none":
            self._normalized = functools.partial(unicodedata.normalize, config.normalization)
        self._minimum = config.minimum_characters
        self._seen = SeenKeys() if config.deduplicate else None
        self._num_read = 0

    def keep(self, documents: Iterable[str]) -> Kept:
        """What stays of the next documents; DataError where one is no text that UTF-8 can hold."""
        first, dropped = self._num_read, dict.fromkeys(REASONS, 0)
        texts, numbers, keys, sizes = [], [], [], []
        for document in documents:
            number, text = self._num_read, self._normalized(document)
            self._num_read += 1
            if not text or text.isspace():
                dropped["empty"] += 1
            elif len(text) < self._minimum:
                dropped["too_short"] += 1
            else:
                content = _in_utf8(text, number)
                texts.append(text)
                numbers.append(number)
                keys.append(_key(content))
                sizes.append(len(content))
        kept = Kept(texts, numbers, np.array(keys, KEY), np.array(sizes, np.int64), self._num_read - first, dropped)
        return kept if self._seen is None else _without_copies(kept, self._seen.add(kept.keys))


class SeenKeys:
    """The keys that came by so far: 8 bytes for each, and as much again for a moment while they are sorted anew.

    Sorted arrays of lengths that at least halve from one to the next, so that there are few to search and each key is
    moved a logarithmic number of times.
    """

    def __init__(self) -> None:
        self._runs: list[np.ndarray] = []

    def __len__(self) -> int:
        return sum(map(len, self._runs))

    def add(self, keys: np.ndarray) -> np.ndarray:
        """(n,) bool: which of these keys are there for the first time; they are taken in."""
        ordered, first = np.unique(keys, return_index=True)
        new = np.ones(len(ordered), dtype=bool)
        for run in self._runs:
            places = np.minimum(np.searchsorted(run, ordered), len(run) - 1)
            new &= run[places] != ordered
        if new.any():
            self._runs.append(ordered[new])
        while len(self._runs) > 1 and len(self._runs[-2]) < 2 * len(self._runs[-1]):
            merged = np.concatenate([self._runs.pop(), self._runs.pop()])
            merged.sort()
            self._runs.append(merged)
        is_new = np.zeros(len(keys), dtype=bool)
        is_new[first[new]] = True
        return is_new


def batches(documents: Iterable[str]) -> Iterator[list[str]]:
    """The documents in lists of about a million characters, or of 8,192 documents where these are short."""
    batch: list[str] = []
    characters = 0
    for text in documents:
        batch.append(text)
        characters += len(text)
        if characters >= _BATCH_CHARACTERS or len(batch) >= _BATCH_DOCUMENTS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def filtered(config: FilterConfig, documents: Iterable[str]) -> Iterator[str]:
    """The texts that a filter leaves of the documents.

    One that asks for nothing leaves all of them: empty documents too, which mean nothing to whoever wants text only.
    """
    if config == FilterConfig():
        yield from documents
        return
    at_work = Filter(config)
    for batch in batches(documents):
        yield from at_work.keep(batch).texts


def filtered_fingerprint(config: FilterConfig, content: str) -> str:
    """SHA-256, in hex, of what decides the documents that a filter leaves of those with the fingerprint `content`."""
    if config == FilterConfig():
        return content
    characters = None if config.normalization == "none" else unicodedata.unidata_version
    return hashlib.sha256(json.dumps([content, to_mapping(config), characters]).encode()).hexdigest()


def dropped_words(dropped: dict[str, int]) -> str:
    """{"empty": 2, "too_short": 1, …} → "2 empty, 1 too short"; "" where nothing was dropped."""
    return ", ".join(f"{dropped[reason]:,} {words}" for reason, words in REASONS.items() if dropped[reason])


def _without_copies(kept: Kept, is_new: np.ndarray) -> Kept:
    stay = np.flatnonzero(is_new).tolist()
    return Kept(
        [kept.texts[index] for index in stay],
        [kept.numbers[index] for index in stay],
        kept.keys[is_new],
        kept.sizes[is_new],
        kept.num_read,
        {**kept.dropped, "duplicate": len(kept.texts) - len(stay)},
    )


def _unchanged(text: str) -> str:
    return text


def _in_utf8(text: str, number: int) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"document {number} of the corpus (counted from 0): character {error.start} is half of a surrogate pair, "
            "which no text can hold"
        ) from None


def _key(content: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(content, digest_size=KEY.itemsize).digest(), "little")
