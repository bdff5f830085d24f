"""Long texts in pieces, so that memory stays bounded and every core has work.

The library spends about 150 bytes on each token of a text while it encodes it, and one thread on each text. A novel, or
a whole corpus in one file, is therefore cut where cutting cannot change the ids: before a space that follows a
non-space. No pre-tokenizer of ours has a token across that place, and no pattern of theirs looks back over it. (▁ is no
such non-space: Unigram tokenizers spell the space so, and a text's own ▁ could be one token with the space behind it.)

Which characters each token stands for costs the library a quarter of its time. Where that is asked of few places, it is
asked only of the piece around each of them, and not at all right at or behind a boundary.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence

from zoo.tokenizer.special_tokens import Boundaries

PIECE_CHARACTERS = 65_536
"""Pieces are this long, or a little longer (up to the next boundary). Shorter ones were slower, measured."""

NOWHERE: Sequence[int] = ()
AT_ITS_START: Sequence[int] = (0,)
BEHIND_ITS_SPACE: Sequence[int] = (1,)
"""What is asked of a piece that it need not be searched for: nothing, its start, or behind the space it begins with."""

# Python's \s holds every character that the pre-tokenizers call white space (and four control characters more).
_SPACE_AFTER_WORD = re.compile(r"(?<=[^\s\u2581])(?= )")


def pieces(text: str, boundaries: Boundaries) -> list[str]:
    """Consecutive pieces of `text` whose ids, one after another, are those of the whole; at least one, maybe empty."""
    found = []
    start, length = 0, len(text)
    while boundaries != "none" and length - start > 2 * PIECE_CHARACTERS:
        stop = start + PIECE_CHARACTERS
        if boundaries == "spaces":
            match = _SPACE_AFTER_WORD.search(text, stop)
            if match is None:
                break
            stop = match.start()
        found.append(text[start:stop])
        start = stop
    found.append(text[start:])
    return found


def pieces_around(text: str, offsets: Sequence[int], boundaries: Boundaries) -> tuple[list[str], list[Sequence[int]]]:
    """`pieces`, cut so that it is easy to find out which tokens the offsets are at.

    Args:
        text: the text.
        offsets: ascending character offsets in it.
        boundaries: where it can be cut.

    Returns:
        The pieces, and the offsets in each, counted from its start: `NOWHERE`, `AT_ITS_START`, `BEHIND_ITS_SPACE`
        (these very objects), or others, and then the piece is the shortest one around them that encodes on its own: a
        word, or what line breaks join.
    """
    if boundaries == "none":
        return [text], [offsets]
    if not offsets or offsets[-1] == 0:  # most short texts are one sentence
        parts = pieces(text, boundaries)
        return parts, [AT_ITS_START if offsets else NOWHERE, *[NOWHERE] * (len(parts) - 1)]
    begins, inside = [0], [NOWHERE]
    for start, places in _offsets_by_word(text, offsets, boundaries):
        if start > begins[-1]:
            begins.append(start)
            inside.append(NOWHERE)
        if places == [0]:
            inside[-1] = AT_ITS_START
        elif places == [1] and text[start] == " ":
            inside[-1] = BEHIND_ITS_SPACE
        else:
            inside[-1] = places
            stop = _boundary_behind(text, start + places[-1])
            if stop < len(text):
                begins.append(stop)
                inside.append(NOWHERE)
    parts = [text[start:stop] for start, stop in itertools.pairwise([*begins, len(text)])]
    if len(text) <= 2 * PIECE_CHARACTERS:
        return parts, inside
    short: list[str] = []
    inside_short: list[Sequence[int]] = []
    for part, asked in zip(parts, inside, strict=True):
        more = pieces(part, boundaries)  # a word stays whole
        short += more
        inside_short += [asked, *[NOWHERE] * (len(more) - 1)]
    return short, inside_short


def _offsets_by_word(text: str, offsets: Sequence[int], boundaries: Boundaries) -> Iterator[tuple[int, list[int]]]:
    """Where each word with offsets in it starts, and the offsets, counted from there."""
    if boundaries == "anywhere":
        yield from ((offset, [0]) for offset in offsets)
        return
    start, inside, last = 0, list[int](), 0
    for offset in offsets:
        # Is there a boundary behind the last offset, and up to this one?
        place = text.rfind(" ", last + 1, offset + 1)
        while place > 0 and not _ends_word(text[place - 1]):
            place = text.rfind(" ", last + 1, place)
        if place > 0:
            if inside:
                yield start, inside
            start, inside = place, []
        inside.append(offset - start)
        last = offset
    if inside:
        yield start, inside


def _boundary_behind(text: str, offset: int) -> int:
    """The first boundary behind `offset`, or the text's end."""
    place = text.find(" ", offset + 1)
    while place > 0 and not _ends_word(text[place - 1]):
        place = text.find(" ", place + 1)
    return place if place > 0 else len(text)


def _ends_word(character: str) -> bool:
    """Whether a text can be cut between it and a space."""
    return not character.isspace() and character != "\u2581"


def words(text: str) -> list[str]:
    """`text` cut before every space that follows a non-space: the smallest pieces that encode on their own."""
    return _SPACE_AFTER_WORD.split(text)
