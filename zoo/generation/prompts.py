"""From texts to the tokens that a model reads, framed as it was trained.

What stands before and after a text is what the tokenizer's file says, where it says anything (foreign ones do); else
what our own training puts there: [CLS] … [SEP] for an encoder, … </s> for the input of an encoder-decoder.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from zoo.errors import DataError
from zoo.tokenizer.tokenizer import Tokenizer


class Frame(NamedTuple):
    """The ids before and after a text."""

    before: tuple[int, ...]
    after: tuple[int, ...]


def frame_of(kind: str, tokenizer: Tokenizer, tokens: Sequence[int], *, goes_on: bool = True) -> Frame:
    """What belongs before and after the tokens of a text and is not written out in it.

    Args:
        kind: of the model.
        tokenizer: of the model.
        tokens: of the text.
        goes_on: whether a decoder's text may be gone on with, so that nothing stands behind it.
    """
    before, after = tokenizer.frame
    if not before and not after and kind == "encoder":
        before, after = (tokenizer.role("classify"),), (tokenizer.role("separate"),)
    elif not before and not after and kind == "encoder_decoder":
        after = (tokenizer.role("end"),)
    if tuple(tokens[: len(before)]) == before:
        before = ()  # written out in the text already, as chat templates do
    return Frame(before, () if kind == "decoder" and goes_on else after)


def framed(kind: str, tokenizer: Tokenizer, tokens: Sequence[int]) -> list[int]:
    """The tokens of a text with what stands before and after it; arguments as in `frame_of`."""
    frame = frame_of(kind, tokenizer, tokens)
    return [*frame.before, *tokens, *frame.after]


def prompt_tokens(kind: str, tokenizer: Tokenizer, text: str) -> list[int]:
    """The tokens of a prompt; special tokens written out in it are recognised.

    Raises:
        DataError: the prompt is empty and an encoder-decoder's, or there is no token to start from.
    """
    tokens: list[int] = tokenizer.prompt(text).tolist()
    if not tokens and kind == "encoder_decoder":
        raise DataError("the prompt is empty: an encoder-decoder needs a text to answer to")
    whole = framed(kind, tokenizer, tokens)
    if not whole and "begin" not in tokenizer.roles:
        raise DataError("the prompt is empty, and the tokenizer has no `begin` token to start from: write a word")
    return whole or [tokenizer.role("begin")]
