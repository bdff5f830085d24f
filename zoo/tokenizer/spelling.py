"""How many bytes of text each entry of a vocabulary spells."""

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
    byte_level, plain = (isinstance(tokenizer.decoder, kind) for kind in (decoders.ByteLevel, decoders.Fuse))
    for id in range(tokenizer.vocab_size):
        token = tokenizer.token(id)
        shown = token if plain else token.removeprefix(CONTINUES).replace(SPACE, " ")
        spelled[id] = len(token) if byte_level else len(shown.encode())
    spelled[tokenizer.special_ids] = 0
    return spelled
