"""From tokens, one at a time, to pieces of text that never split a character."""

from __future__ import annotations

import copy
from collections.abc import Iterable

from zoo.tokenizer.tokenizer import Tokenizer

_REPLACEMENT = "�"
"""What decoding puts for bytes that are no character, or not one yet."""
_LONGEST, _CONTEXT = 128, 32


class TextStream:
    """Text that comes out as soon as it cannot change any more; all pieces together are the text as a whole.

    A character may be spread over several tokens (bytes of UTF-8): its first bytes are held back until it is whole.

    Args:
        tokenizer: what the tokens are of.
        before: tokens that the stream goes on from; a word's spelling may depend on whether something stands before it.
    """

    def __init__(self, tokenizer: Tokenizer, before: Iterable[int] = ()) -> None:
        self._tokenizer = tokenizer
        self._special = set(tokenizer.special_ids.tolist())
        self._tokens = [int(token) for token in before if int(token) not in self._special]
        self._done = len(tokenizer.decode(self._tokens))

    def push(self, token: int) -> str:
        """The text that is settled with this token, "" where there is none; special tokens have none."""
        if token in self._special:
            return ""
        self._tokens.append(token)
        text = self._tokenizer.decode(self._tokens)
        settled = len(text) - text.endswith(_REPLACEMENT)
        piece, self._done = text[self._done : settled], max(self._done, settled)
        if len(self._tokens) > _LONGEST and self._done == len(text):
            # Old tokens have said what they had to say; a few remain, so that the next one is not taken for the first.
            self._tokens = self._tokens[-_CONTEXT:]
            self._done = len(self._tokenizer.decode(self._tokens))
        return piece

    def branch(self) -> TextStream:
        """Another stream that goes on from here by itself."""
        other = copy.copy(self)
        other._tokens = list(self._tokens)
        return other

    def finish(self) -> str:
        """What was held back: bytes that never became a character, each run shown as "�"."""
        text = self._tokenizer.decode(self._tokens)
        piece, self._done = text[self._done :], len(text)
        return piece


def text_of(tokenizer: Tokenizer, tokens: Iterable[int], before: Iterable[int] = ()) -> str:
    """The text of tokens that stand behind others; special tokens are left out."""
    before = list(before)
    return tokenizer.decode([*before, *tokens])[len(tokenizer.decode(before)) :]
