"""What weights and tokens do not say: how a checkpoint is meant to be used."""

from __future__ import annotations

from typing import NamedTuple

from zoo.generation.chat import ChatTemplate


class Conventions(NamedTuple):
    """How a model is meant to be used, as its folder says; the defaults are those of models that were trained here.

    Attributes:
        stop: ids that end a text, beside the tokenizer's `end` token.
        start: what an encoder-decoder's output begins with; None: its padding token.
        prefix: ids that an encoder-decoder's output is made to begin with, behind `start` (BART: <s>).
        pooling: how `embed` makes one vector of a text, unless it is told.
        normalize: whether its vectors have length 1, unless it is told.
        template: how a conversation is written as a text; None: it was not trained on conversations.
    """

    stop: tuple[int, ...] = ()
    start: int | None = None
    prefix: tuple[int, ...] = ()
    pooling: str = "mean"
    normalize: bool = False
    template: ChatTemplate | None = None
