"""Long texts in pieces, so that memory stays bounded and every core has work.

The library spends about 150 bytes on each token of a text while it encodes it, and one thread on each text. A novel, or
a whole corpus in one file, is therefore cut where cutting cannot change the ids: before a space that follows a
non-space. No pre-tokenizer of ours has a token across that place, and no pattern of theirs looks back over it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from zoo.tokenizer.special_tokens import Boundaries

PIECE_CHARACTERS = 65_536
"""Pieces are this long, or a little longer (up to the next boundary). Shorter ones were slower, measured."""

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


def words(text: str) -> list[str]:
    """`text` cut before every space that follows a non-space: the smallest pieces that encode on their own."""
    return _SPACE_AFTER_WORD.split(text)
