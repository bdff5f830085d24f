"""From tokens, one at a time, to pieces of text that never split a character."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterable, Sequence

from zoo.tokenizer.tokenizer import Tokenizer

_REPLACEMENT = "�"
"""What decoding puts for bytes that are no character, or not one yet."""
_LONGEST, _CONTEXT = 128, 32


class TextStream:
    """Text that comes out as soon as it cannot change any more; all pieces together are the text as a whole.

    A character may be spread over several tokens (bytes of UTF-8): its first bytes are held back until it is whole.
    Where bytes are tokens of their own (byte fallback), decoding keeps a run of them as a whole or not at all: a single
    wrong byte makes "�" of every byte before it. So such a run is held back until another token ends it.

    Args:
        tokenizer: what the tokens are of.
        before: tokens that the stream goes on from; a word's spelling may depend on whether something stands before it.
    """

    def __init__(self, tokenizer: Tokenizer, before: Iterable[int] = ()) -> None:
        self._tokenizer = tokenizer
        self._special = frozenset(tokenizer.special_ids.tolist())
        self._tokens = _context(tokenizer, before)
        self._shown = tokenizer.decode(self._tokens)

    def push(self, token: int) -> str:
        """The text that is settled with this token, "" where there is none; special tokens have none."""
        if token in self._special:
            return ""
        self._tokens.append(token)
        if token in self._tokenizer.byte_values:
            return ""
        text = self._tokenizer.decode(self._tokens)
        settled = len(text) - text.endswith(_REPLACEMENT)
        piece = self._settle(text, settled)
        if len(self._tokens) > _LONGEST and settled == len(text):
            # Old tokens have said what they had to say; a few remain, so that the next one is not taken for the first.
            self._tokens = _latest(self._tokenizer, self._tokens)
            self._shown = self._tokenizer.decode(self._tokens)
        return piece

    @property
    def ahead(self) -> str:
        """What would come next if the text ended here: whole characters of bytes that are held back, else ""."""
        run = _run(self._tokenizer, self._tokens)
        return _behind(self._shown, self._tokenizer.decode(self._tokens)) if run and _is_text(run) else ""

    def branch(self) -> TextStream:
        """Another stream that goes on from here by itself."""
        other = copy.copy(self)
        other._tokens = list(self._tokens)
        return other

    def finish(self) -> str:
        """What was held back; bytes that never became a character are shown as "�"."""
        text = self._tokenizer.decode(self._tokens)
        return self._settle(text, len(text))

    def _settle(self, text: str, settled: int) -> str:
        """What is new among the first characters of the text, so many of which are settled."""
        sure = text[:settled]
        if self._shown.startswith(sure):
            return ""
        piece, self._shown = _behind(self._shown, sure), sure
        return piece


def text_of(tokenizer: Tokenizer, tokens: Iterable[int], before: Iterable[int] = ()) -> str:
    """The text of tokens that stand behind others; special tokens are left out."""
    context = _context(tokenizer, before)
    return _behind(tokenizer.decode(context), tokenizer.decode([*context, *tokens]))


def _context(tokenizer: Tokenizer, before: Iterable[int]) -> list[int]:
    """The last of the tokens that a text stands behind, those that it is spelt by.

    Whole characters in bytes at their end are left out, so that wrong bytes behind them cannot spoil them.
    """
    special = frozenset(tokenizer.special_ids.tolist())
    tokens = [int(token) for token in before if int(token) not in special]
    run = _run(tokenizer, tokens)
    if run and _is_text(run):
        del tokens[-len(run) :]
        if not tokens:  # something stands before the text all the same
            others = (id for id in range(tokenizer.vocab_size) if id not in special and id not in tokenizer.byte_values)
            tokens = list(itertools.islice(others, 1))
    return _latest(tokenizer, tokens) if len(tokens) > _LONGEST else tokens


def _latest(tokenizer: Tokenizer, tokens: Sequence[int]) -> list[int]:
    """The last few tokens, from where no run of bytes is cut."""
    start = max(len(tokens) - _CONTEXT, 0)
    while start > 0 and tokens[start] in tokenizer.byte_values:
        start -= 1
    return list(tokens[start:])


def _run(tokenizer: Tokenizer, tokens: Sequence[int]) -> bytes:
    """The bytes that the last tokens are, where each is a byte of its own."""
    values, start = tokenizer.byte_values, len(tokens)
    while start > 0 and tokens[start - 1] in values:
        start -= 1
    return bytes(values[token] for token in tokens[start:])


def _is_text(run: bytes) -> bool:
    try:
        run.decode()
    except UnicodeDecodeError:
        return False
    return True


def _behind(shown: str, text: str) -> str:
    """What of a text has not been shown; where it differs from what was shown, from there on."""
    if text.startswith(shown):
        return text[len(shown) :]
    return text[next((n for n, (old, new) in enumerate(zip(shown, text, strict=False)) if old != new), len(text)) :]
