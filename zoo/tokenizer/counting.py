"""Words and characters of a corpus, counted.

The library counts words in hash tables whose order differs from process to process, and two of its trainers (WordPiece,
Unigram) let that order into the vocabulary. Ours count here, in an order that the text alone decides, so that the same
text and settings give the same file, byte for byte.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping

from zoo.errors import DataError
from zoo.tokenizer.pieces import pieces, words

Progress = Callable[[int], None]
"""Told how many more characters have been read."""


def training_text(texts: Iterable[str], limit: int | None = None, progress: Progress | None = None) -> Iterator[str]:
    """The first `limit` characters of `texts` (None: all), long texts in pieces; DataError where there are none."""
    seen = 0
    for text in texts:
        if limit is not None:
            text = text[: limit - seen]
        yield from pieces(text, "spaces")
        seen += len(text)
        if progress is not None:
            progress(len(text))
        if limit is not None and seen >= limit:
            return
    if not seen:
        raise DataError("the corpus holds no text to train a tokenizer on")


def count_words(texts: Iterable[str]) -> dict[str, int]:
    """How often each word occurs, sorted by word. A word begins with the space before it, if need be an added one."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(words(text))
    merged: Counter[str] = Counter()
    for word, count in counts.items():
        if word:
            merged[word if word.startswith(" ") else " " + word] += count
    return dict(sorted(merged.items()))


def count_characters(counted_words: Mapping[str, int], spell: Callable[[str], str]) -> dict[str, int]:
    """How often each character occurs after `spell`, a tokenizer's normalization of one character (to any number)."""
    counts: Counter[str] = Counter()
    for word, count in counted_words.items():
        for character in word:
            counts[character] += count
    spelt: Counter[str] = Counter()
    for character, count in counts.items():
        for one in spell(character):
            spelt[one] += count
    return dict(spelt)


def frequent(counts: Mapping[str, int], coverage: float) -> list[str]:
    """The fewest characters, the most frequent ones, that make up `coverage` of all text; sorted."""
    kept, seen, wanted = [], 0, coverage * sum(counts.values())
    for character, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        if seen >= wanted:
            break
        kept.append(character)
        seen += count
    return sorted(kept)


def repeated(counted_words: Mapping[str, int]) -> Iterator[str]:
    """A text with the same counted words, in sorted order, for a trainer of the library to count again."""
    for word, count in counted_words.items():
        for start in range(0, count, 4_096):
            yield word * min(4_096, count - start)
