"""How many bytes of text each entry of a vocabulary spells, and the tokens of a text together."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from tokenizers import decoders

from zoo.tokenizer.tokenizer import Tokenizer

CONTINUES, SPACE = "##", "▁"
"""How WordPiece marks a piece that goes on a word, and SentencePiece a space."""


def spelled_bytes(tokenizer: Tokenizer) -> NDArray[np.int64]:
    """(V,) bytes of the text that an entry spells; 0: special tokens.

    Of byte-level vocabularies, where a character of an entry stands for a byte, and of characters this is exact: over
    the tokens of a text it adds up to the text's UTF-8 form. Of others it is what tokens show of the text.
    """
    spelled = np.zeros(tokenizer.vocab_size, np.int64)
    plain = isinstance(tokenizer.decoder, decoders.Fuse)
    for id in range(tokenizer.vocab_size):
        token = tokenizer.token(id)
        shown = token if plain else token.removeprefix(CONTINUES).replace(SPACE, " ")
        spelled[id] = _own_bytes(tokenizer, id) or len(shown.encode())
    spelled[tokenizer.special_ids] = 0
    return spelled


def bytes_before(tokenizer: Tokenizer, text: str, count: int, offset: int = 0) -> int:
    """How many bytes of a text's UTF-8 form stand before one of its tokens.

    A character that several tokens share is taken apart where they stand for bytes; else it is the last one's.

    Args:
        tokenizer: what the tokens are of.
        text: the text.
        count: how many tokens of `tokenizer.prompt(text)` stand before the one that is meant.
        offset: of the character from which on spaces that no token has stand behind the place; 0: all of them do.
    """
    if count == 0:
        return 0
    spans = tokenizer.spans(text)
    if count >= len(spans):
        return len(text.encode())
    whole = count  # so many tokens share no character with the next one
    while whole > 0 and spans[whole - 1][1] > spans[whole][0]:
        whole -= 1
    end = spans[whole - 1][1] if whole else 0
    if whole == count:
        return len(text[: min(max(end, offset), spans[whole][0])].encode())
    shared = len(text[end : spans[count - 1][1]].encode())
    own = sum(_own_bytes(tokenizer, int(id)) for id in tokenizer.prompt(text)[whole:count])
    return len(text[:end].encode()) + min(own, shared)


def _own_bytes(tokenizer: Tokenizer, id: int) -> int:
    """The bytes that a token is spelt in, where it is spelt in bytes; else 0."""
    if tokenizer.is_byte_level:
        return len(tokenizer.token(id))
    return int(id in tokenizer.byte_values)
