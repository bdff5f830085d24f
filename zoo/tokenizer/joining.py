"""Many texts through the `tokenizers` library at once, and where their sentences went.

    texts → pieces → strings, a separator behind each piece → ids and separators → ids, and borders

Each string handed to the library costs it as much as dozens of characters do, and comes back as an object that Python
must take apart. So many pieces go in one string. The separator is a token to the library, of the sort that it looks for
before all else: what stands between two of them is encoded as if it were alone.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import tokenizers
from numpy.typing import NDArray

from zoo.errors import DataError
from zoo.tokenizer.library import guarded, ids_of, opened
from zoo.tokenizer.pieces import AT_ITS_START, BEHIND_ITS_SPACE, NOWHERE, pieces, pieces_around
from zoo.tokenizer.special_tokens import Boundaries

Integers = NDArray[np.int64]

_SEPARATOR = "\ufdd0"
"""One of the characters that Unicode sets aside for programs' own use. Where a text holds it all the same, each piece
is a string of its own."""
_STRING_CHARACTERS = 1 << 14
"""Longer strings save nothing more, and leave fewer of them to share out over the cores."""
_GROUP_CHARACTERS = 1 << 21
"""For one call of the library: it needs 150 bytes for each token."""


class FlatIds(NamedTuple):
    """The ids of several texts.

    Attributes:
        ids: (n,) int64, all texts one after another.
        lengths: (num_texts,) int64, how many of them each text has.
        starts: (num_sentences,) int64 in 0 … n, ascending: which of the ids each sentence starts with. Where it has no
            token of its own, that is the next one's, or n.
    """

    ids: Integers
    lengths: Integers
    starts: Integers


class JoiningEncoder:
    """Encodes texts, many at a time.

    Args:
        library: the tokenizer as the library knows it.
        definition: the text that it was made from.
        boundaries: where a text can be cut; where that is nowhere for certain, texts are not joined either.
        unknown: the id of the unknown token, or None.
    """

    def __init__(
        self, library: tokenizers.Tokenizer, definition: str, boundaries: Boundaries, unknown: int | None
    ) -> None:
        self._library, self._definition, self._boundaries, self._unknown = library, definition, boundaries, unknown

    def encode(self, texts: Sequence[str], sentence_starts: Sequence[Sequence[int]] | None = None) -> FlatIds:
        """The ids of texts.

        Args:
            texts: the texts.
            sentence_starts: for each text the character offsets at which its sentences start, ascending; None: none.

        Raises:
            DataError: the library cannot encode a text.
        """
        parts, asked, stops = self._cut(texts, sentence_starts)
        joined = len(parts) > 1 and self._boundaries != "none" and not any(_SEPARATOR in text for text in texts)
        at_start, behind_space, searched = self._by_question(asked)
        is_searched = np.zeros(len(parts), bool)
        is_searched[searched] = True
        ids, lengths, _ = self._encoded(list(itertools.compress(parts, ~is_searched)), joined)
        offsets = [asked[number] for number in searched]
        found, found_lengths, places = self._searched([parts[number] for number in searched], offsets, joined)
        lengths = _merged(is_searched, found_lengths, lengths)
        ids = _merged(np.repeat(is_searched, lengths), found, ids)
        begins = np.concatenate([[0], np.cumsum(lengths)])
        starts = [
            begins[at_start],
            self._behind_space(ids, begins[behind_space], lengths[behind_space]),
            np.repeat(begins[searched], [len(some) for some in offsets]) + places,
        ]
        return FlatIds(ids, np.diff(begins[stops]), np.sort(np.concatenate(starts)))

    def encode_one(self, text: str) -> Integers:
        """The ids of one text, without the ado that pays for many. Raises DataError where it cannot be encoded."""
        if len(pieces(text, self._boundaries)) > 1:
            return self.encode([text]).ids
        with guarded("encode the text", DataError):
            return ids_of(self._library.encode(text, add_special_tokens=False))

    def _cut(
        self, texts: Sequence[str], sentence_starts: Sequence[Sequence[int]] | None
    ) -> tuple[list[str], list[Sequence[int]], list[int]]:
        """The pieces of all texts, what is asked of each, and how many there are up to each text's start and end."""
        parts: list[str] = []
        asked: list[Sequence[int]] = []
        stops = [0]
        every = itertools.repeat(NOWHERE, len(texts)) if sentence_starts is None else sentence_starts
        for text, offsets in zip(texts, every, strict=True):
            more, places = pieces_around(text, offsets, self._boundaries)
            parts += more
            asked += places
            stops.append(len(parts))
        return parts, asked, stops

    def _by_question(self, asked: Sequence[Sequence[int]]) -> tuple[list[int], list[int], list[int]]:
        """The numbers of the pieces with a sentence at their start, of those with one behind their space, and of the
        others with sentences, which are to be searched."""
        # The unknown token of a space might stand for more than the space.
        spaces_are_known = self._unknown not in self._space
        at_start, behind_space, searched = [], [], []
        for number, offsets in enumerate(asked):
            if offsets is NOWHERE:
                continue
            if offsets is AT_ITS_START:
                at_start.append(number)
            elif offsets is BEHIND_ITS_SPACE and spaces_are_known:
                behind_space.append(number)
            elif offsets:
                searched.append(number)
        return at_start, behind_space, searched

    @functools.cached_property
    def _space(self) -> list[int]:
        ids: list[int] = self._library.encode(" ", add_special_tokens=False).ids
        return ids

    def _behind_space(self, ids: Integers, begins: Integers, lengths: Integers) -> Integers:
        """Of pieces that begin with a space the first token, or the one behind the space's own where it has some."""
        has = lengths >= len(self._space)
        for index, id in enumerate(self._space):
            has[has] = ids[begins[has] + index] == id
        return begins + len(self._space) * has

    def _searched(
        self, parts: Sequence[str], offsets: Sequence[Sequence[int]], joined: bool
    ) -> tuple[Integers, Integers, Integers]:
        """The ids of pieces, how many each has, and for each offset in each the index in the piece of the first token
        that reaches beyond the character there."""
        ids, lengths, ends = self._encoded(parts, joined, with_ends=True)
        counts = [len(some) for some in offsets]
        sizes = np.array([len(part) for part in parts], np.int64) + (len(_SEPARATOR) if joined else 0)
        inside = np.fromiter(itertools.chain.from_iterable(offsets), np.int64, sum(counts))
        places = np.searchsorted(ends, np.repeat(np.cumsum(sizes) - sizes, counts) + inside, side="right")
        return ids, lengths, places - np.repeat(np.cumsum(lengths) - lengths, counts)

    def _encoded(
        self, parts: Sequence[str], joined: bool, with_ends: bool = False
    ) -> tuple[Integers, Integers, Integers]:
        """The ids of all pieces; how many each has; and, if asked for, at which character of all strings each ends."""
        library, separator = self._with_separator if joined else (self._library, None)
        # The fast variant leaves out which characters a token stands for.
        encode = library.encode_batch if with_ends else library.encode_batch_fast
        ids, ends = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        begin = 0
        for group in _groups(_joined(parts) if joined else parts, _GROUP_CHARACTERS):
            with guarded("encode the text", DataError):
                encodings = encode(group, add_special_tokens=False)
            ids += map(ids_of, encodings)
            if with_ends:
                for string, encoding in zip(group, encodings, strict=True):
                    ends.append(begin + np.fromiter((end for _, end in encoding.offsets), np.int64, len(encoding)))
                    begin += len(string)
            del encodings  # before the next ones are made
        flat, flat_ends = np.concatenate(ids), np.concatenate(ends)
        if not joined:
            return flat, np.array([len(one) for one in ids[1:]], np.int64), flat_ends
        is_token = flat != separator
        lengths = np.diff(np.flatnonzero(~is_token), prepend=-1) - 1
        assert len(lengths) == len(parts)
        return flat[is_token], lengths, flat_ends[is_token] if with_ends else flat_ends

    @functools.cached_property
    def _with_separator(self) -> tuple[tokenizers.Tokenizer, int | None]:
        """The tokenizer with a token for the separator, and its id."""
        library = opened(self._definition)
        library.encode_special_tokens = self._library.encode_special_tokens
        library.add_tokens([tokenizers.AddedToken(_SEPARATOR, normalized=False, special=False)])
        return library, library.token_to_id(_SEPARATOR)


def _joined(parts: Iterable[str]) -> Iterator[str]:
    """Strings of some pieces each, a separator behind every one."""
    for group in _groups(parts, _STRING_CHARACTERS):
        yield _SEPARATOR.join([*group, ""])


def _groups(strings: Iterable[str], limit: int) -> Iterator[list[str]]:
    """The strings in lists of at least `limit` characters, the last one of fewer."""
    group: list[str] = []
    characters = 0
    for string in strings:
        group.append(string)
        characters += len(string)
        if characters >= limit:
            yield group
            group, characters = [], 0
    if group:
        yield group


def _merged(chosen: NDArray[np.bool_], yes: Integers, no: Integers) -> Integers:
    """(n,) the numbers of `yes`, in their order, where `chosen` is True, those of `no` elsewhere."""
    merged = np.empty(len(chosen), np.int64)
    merged[chosen] = yes
    merged[~chosen] = no
    return merged
