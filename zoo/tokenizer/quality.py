"""How well a tokenizer serves a text, in numbers; to be asked on text that it did not learn from.

Fertility and the share of continued words are those of Rust et al. 2021, arXiv:2012.15613, section 4.1: tokens per
word, and how many words take more than one. A word is what stands between white space.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from zoo.errors import DataError
from zoo.tokenizer.tokenizer import Tokenizer

_TEXTS = 256
"""Encoded at once."""
_EXCERPT = 24


class Difference(NamedTuple):
    """A text that did not come back: what stood around the first place that differs, and what came of it."""

    text: str
    decoded: str


class Quality(NamedTuple):
    """A tokenizer on a text.

    Attributes:
        texts, bytes, characters, words, tokens: how much text that was; bytes in UTF-8.
        fertility: tokens per word. continued: share of words (with repeats) of more than one token.
        bytes_per_token, characters_per_token: how much a token stands for.
        unknown: share of tokens that are the unknown one. coverage: share of characters that are not lost to it.
        used: share of the vocabulary that occurs.
        came_back: share of texts that decode to what they were; `nearly`: but for white space and case.
        difference: the first that did not come back; None: all did.
    """

    texts: int
    bytes: int
    characters: int
    words: int
    tokens: int
    fertility: float
    continued: float
    bytes_per_token: float
    characters_per_token: float
    unknown: float
    coverage: float
    used: float
    came_back: float
    nearly: float
    difference: Difference | None


class _Totals:
    """What is added up over the texts."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.unknown = tokenizer.roles.get("unknown", -1)
        self.texts = self.bytes = self.tokens = self.unknown_tokens = self.came_back = self.nearly = 0
        self.words: Counter[str] = Counter()
        self.characters: Counter[str] = Counter()
        self.used = np.zeros(tokenizer.vocab_size, dtype=bool)
        self.difference: Difference | None = None

    def add(self, texts: list[str]) -> None:
        """Counts some more texts."""
        self.texts += len(texts)
        for text, ids in zip(texts, self.tokenizer.encode_batch(texts), strict=True):
            self.bytes += len(text.encode())
            self.words.update(text.split())
            self.characters.update(text)
            self.tokens += len(ids)
            self.unknown_tokens += int((ids == self.unknown).sum())
            self.used[ids] = True
            decoded = self.tokenizer.decode(ids, skip_special=False)
            self.came_back += decoded == text
            self.nearly += _plain(decoded) == _plain(text)
            if decoded != text and self.difference is None:
                self.difference = _difference(text, decoded)

    def lost_characters(self) -> int:
        """Characters, with repeats, that have no token of their own."""
        alphabet = [one for one in self.characters if not one.isspace()]
        encoded = self.tokenizer.encode_batch(alphabet)
        return sum(self.characters[one] for one, ids in zip(alphabet, encoded, strict=True) if self.unknown in ids)

    def continued_words(self) -> int:
        """Words, with repeats, of more than one token; each has a space before it, as most have in a text."""
        encoded = self.tokenizer.encode_batch([f" {word}" for word in self.words])
        return sum(count for count, ids in zip(self.words.values(), encoded, strict=True) if len(ids) > 1)


def measure(tokenizer: Tokenizer, texts: Iterable[str]) -> Quality:
    """The quality of a tokenizer on texts; all but the words and characters that occur is forgotten at once.

    Raises:
        DataError: there is no word in them, or a character has no id and there is no unknown token.
    """
    totals = _Totals(tokenizer)
    waiting: list[str] = []
    for text in texts:
        waiting.append(text)
        if len(waiting) == _TEXTS:
            totals.add(waiting)
            waiting = []
    totals.add(waiting)
    num_words, num_characters = totals.words.total(), totals.characters.total()
    if not num_words or not totals.tokens:
        raise DataError("the text has no word in it: there is nothing to measure a tokenizer on")
    return Quality(
        texts=totals.texts,
        bytes=totals.bytes,
        characters=num_characters,
        words=num_words,
        tokens=totals.tokens,
        fertility=totals.tokens / num_words,
        continued=totals.continued_words() / num_words,
        bytes_per_token=totals.bytes / totals.tokens,
        characters_per_token=num_characters / totals.tokens,
        unknown=totals.unknown_tokens / totals.tokens,
        coverage=1 - totals.lost_characters() / num_characters,
        used=float(totals.used.mean()),
        came_back=totals.came_back / totals.texts,
        nearly=totals.nearly / totals.texts,
        difference=totals.difference,
    )


def _plain(text: str) -> str:
    """Without white space, in lower case."""
    return "".join(text.split()).casefold()


def _difference(text: str, decoded: str) -> Difference:
    """What stands around the first place at which the two differ."""
    shorter = min(len(text), len(decoded))
    place = next((index for index in range(shorter) if text[index] != decoded[index]), shorter)
    around = slice(max(place - _EXCERPT, 0), place + _EXCERPT)
    return Difference(text[around], decoded[around])
