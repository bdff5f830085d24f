"""Long texts in pieces, so that memory stays bounded and every core has work.

The library spends about 150 bytes on each token of a text while it encodes it, and one thread on each text. A novel, or
a whole corpus in one file, is therefore cut where cutting cannot change the ids: before a space that follows a
non-space. No pre-tokenizer of ours has a token across that place, and no pattern of theirs looks back over it.

Which characters each token stands for costs the library a quarter of its time. Where that is asked of few places, it is
asked only of the piece around each of them, and not at all right behind a boundary.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from zoo.tokenizer.special_tokens import Boundaries

PIECE_CHARACTERS = 65_536
"""Pieces are this long, or a little longer (up to the next boundary). Shorter ones were slower, measured."""

BEHIND_A_SPACE = (1,)
"""The offsets of a piece that begins with a space where all that is asked for begins right behind that."""

# Python's \s holds every character that the pre-tokenizers call white space (and four control characters more).
_SPACE_AFTER_WORD = re.compile(r"(?<=\S)(?= )")


def pieces(text: str, boundaries: Boundaries) -> Iterator[str]:
    """Consecutive pieces of `text` whose ids, one after another, are those of the whole; at least one, maybe empty."""
    start, length = 0, len(text)
    while boundaries != "none" and length - start > 2 * PIECE_CHARACTERS:
        stop = start + PIECE_CHARACTERS
        if boundaries == "spaces":
            found = _SPACE_AFTER_WORD.search(text, stop)
            if found is None:
                break
            stop = found.start()
        yield text[start:stop]
        start = stop
    yield text[start:]


def pieces_around(text: str, offsets: Sequence[int], boundaries: Boundaries) -> Iterator[tuple[str, Sequence[int]]]:
    """`pieces`, cut so that it is easy to find out which tokens the offsets are at.

    Args:
        text: the text.
        offsets: ascending character offsets in it.
        boundaries: where it can be cut.

    Yields:
        Each piece, and the offsets in it, counted from its start. A piece with offsets either begins with a space and
        has only `BEHIND_A_SPACE`, or is the shortest one around them that encodes on its own: a word, or what line
        breaks join.
    """
    if boundaries == "none":
        yield text, offsets
        return
    begin, index = 0, 0
    held: Sequence[int] = ()
    while index < len(offsets):
        start = max(begin, _boundary_before(text, offsets[index], begin, boundaries))
        stop = _boundary_behind(text, offsets[index], boundaries)
        inside: list[int] = []
        while index < len(offsets) and offsets[index] < stop:
            inside.append(offsets[index] - start)
            index += 1
        if start > begin:
            yield from _held(text[begin:start], held, boundaries)
        if inside == [1] and text[start] == " ":
            begin, held = start, BEHIND_A_SPACE
        else:
            yield text[start:stop], inside
            begin, held = stop, ()
    if begin < len(text) or not text:
        yield from _held(text[begin:], held, boundaries)


def _held(text: str, offsets: Sequence[int], boundaries: Boundaries) -> Iterator[tuple[str, Sequence[int]]]:
    """The pieces of `text`, the offsets with the first of them."""
    for piece in pieces(text, boundaries):
        yield piece, offsets
        offsets = ()


def _boundary_before(text: str, offset: int, earliest: int, boundaries: Boundaries) -> int:
    """The last boundary up to `offset`; `earliest` or less where there is none behind that one."""
    if boundaries == "anywhere":
        return offset
    place = text.rfind(" ", earliest, offset + 1)
    while place > earliest and text[place - 1].isspace():
        place = text.rfind(" ", earliest, place)
    return place


def _boundary_behind(text: str, offset: int, boundaries: Boundaries) -> int:
    """The first boundary behind `offset`, or the text's end."""
    if boundaries == "anywhere":
        return offset + 1
    place = text.find(" ", offset + 1)
    while place > 0 and text[place - 1].isspace():
        place = text.find(" ", place + 1)
    return place if place > 0 else len(text)


def words(text: str) -> list[str]:
    """`text` cut before every space that follows a non-space: the smallest pieces that encode on their own."""
    return _SPACE_AFTER_WORD.split(text)
