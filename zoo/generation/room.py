"""How many tokens a text may get: as many as are asked for, or as learned positions leave room for."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import NamedTuple

from zoo.errors import ConfigError, DataError, LengthError, ZooError
from zoo.generation.counts import check_count, of_each
from zoo.models.base import Model
from zoo.nn.stack import Stack
from zoo.spelling import named

DEFAULT_NEW_TOKENS = 64
"""How many tokens are written behind a prefix where nobody says, or fewer where learned positions run out."""
MOST_NEW_TOKENS = 2**31 - 1
"""How many may be asked for. It is a bound and no reservation: what grows takes memory as it is needed."""


def new_token_limits(
    model: Model, prompt_lengths: Sequence[int], max_new_tokens: int | None, *, forced: int = 0, least: int = 0
) -> list[int]:
    """How many tokens each row may get.

    Args:
        model, max_new_tokens: as in `generate_steps`.
        prompt_lengths: tokens of each prompt.
        forced: how many tokens are forced at the beginning.
        least: how many are written before a row may end.

    Raises:
        ConfigError: more tokens than may be asked for. DataError, ZooError: as `generate_steps`.
    """
    if max_new_tokens is not None:
        check_count(max_new_tokens, "max_new_tokens")
    for name, value in (("max_new_tokens", max_new_tokens or 0), ("min_new_tokens", least)):
        if value > MOST_NEW_TOKENS:
            raise ConfigError(f"{value} must be at most {MOST_NEW_TOKENS}; no text is longer", name)
    return of_each(prompt_lengths, lambda length: _limit(model, length, max_new_tokens, forced, least))


def _limit(model: Model, length: int, max_new_tokens: int | None, forced: int, least: int) -> int:
    """How many tokens may be written behind a prompt of this length."""
    if length == 0:
        raise DataError("the prompt is empty: there is nothing to go on from")
    room = room_behind(model, length)
    if not model.backbone.writes_apart:
        warn_past_length(model.backbone.writing_stack, length + (max_new_tokens or max(forced, least, 1)) - 1)
    if room is not None:
        wanted = {
            named("max_new_tokens", max_new_tokens): max_new_tokens or 0,
            named("min_new_tokens", least): least,
            f"the prefix has {forced} tokens": forced,
        }
        for told, count in wanted.items():
            if count > room.left:
                raise DataError(
                    f"{told}, but only {room.left} are left: {room.taken} of the model's {room.positions} learned "
                    f"positions are taken, and the last token needs none; ask for at most {room.left}, or shorten the "
                    "prompt of a decoder"
                )
    usual = max(forced + DEFAULT_NEW_TOKENS, least)
    return max_new_tokens or (usual if room is None else min(usual, room.left))


class Room(NamedTuple):
    """What learned positions leave room for.

    Attributes:
        positions: how many there are. taken: by the prompt, or by the one token that a decoder begins with.
    """

    positions: int
    taken: int

    @property
    def left(self) -> int:
        """How many tokens may be written; the last one is never read, so it needs no position."""
        return self.positions - self.taken + 1


def room_behind(model: Model, prompt_length: int) -> Room | None:
    """The room behind a prompt of so many tokens; None: positions do not run out.

    Raises:
        DataError: the prompt itself does not fit. ZooError: a model that cannot write.
    """
    backbone = model.backbone
    if not model.config.causal:
        raise ZooError(f"model {model.config.kind!r} cannot write texts; a decoder or an encoder_decoder can")
    check_length(prompt_length, backbone.reading_stack.positions.num_positions)
    outputs = backbone.writing_stack.positions.num_positions
    return None if outputs is None else Room(outputs, 1 if backbone.writes_apart else prompt_length)


def warn_past_length(stack: Stack, length: int) -> None:
    """Warns, once, where a text is longer than positions were made for that go on, but past what was learned.

    That is rotary ones. ALiBi and relative positions are meant to go on; of learned ones, `check_length` refuses it.
    """
    config = stack.config
    if config.positions.warns_past_length and length > config.max_length:
        warnings.warn(
            f"the model was made for texts of at most {config.max_length} tokens (max_length), and this goes beyond: "
            f"its {config.positions.kind} positions have no end, but what it says there may be worth little",
            stacklevel=2,
        )


def check_length(length: int, limit: int | None) -> None:
    """Raises LengthError where a text of `length` tokens does not fit the `num_positions` of its stack."""
    if limit is not None and length > limit:
        reason = f"the text has {length} tokens and the model has {limit} learned positions; shorten the text"
        raise LengthError(reason, length=length, limit=limit)
