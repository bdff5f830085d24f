"""Texts that a model cannot take: all of them are told at once, or, where somebody asks for it, they are left out."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Annotated, Generic, NamedTuple, TypeVar

import typer

from zoo.cli.screen import note
from zoo.cli.text_file import Texts
from zoo.errors import DataError, TextError

Found = TypeVar("Found")

SkipInvalid = Annotated[
    bool,
    typer.Option(
        "--skip-invalid",
        help="leave out texts that the model cannot take, such as too long ones, and lines without one: each is told "
        "on stderr and gets a line with its error in --output, and the exit status is 0 if any is left; else none is "
        "worked on",
    ),
]


class Taken(NamedTuple, Generic[Found]):
    """What was made of those texts that can be taken.

    Attributes:
        found: made of them. numbers: which texts they are, from 0, in their order.
        left_out: what is wrong with each of the others, by its number.
    """

    found: Found
    numbers: list[int]
    left_out: dict[int, str]


def chosen(texts: Sequence[str], numbers: Sequence[int]) -> list[str]:
    """The texts of these numbers."""
    return [texts[number] for number in numbers]


def take(texts: Texts, skip: bool, work: Callable[[Sequence[int]], Found]) -> Taken[Found]:
    """Works on the texts that can be taken.

    Args:
        texts: all of them.
        skip: whether those that cannot be taken are left out.
        work: on the texts of these numbers; it raises TextError, with places in this list, where some of them cannot be
            taken, before it has begun, and is then called again without them.

    Raises:
        DataError, ConfigError: some cannot be taken and are not to be left out, or none can.
    """
    left_out: dict[int, str] = {}

    def leave_out(number: int, reason: str) -> None:
        left_out[number] = reason
        note(f"note: left out {texts.called(number)}: {reason}")

    for number, reason in texts.unread.items():
        leave_out(number, reason)
    while len(left_out) < len(texts):
        numbers = [number for number in range(len(texts)) if number not in left_out]
        with contextlib.nullcontext() if skip else texts.telling():
            try:
                return Taken(work(numbers), numbers, left_out)
            except TextError as error:
                if not skip:
                    raise
                for one in (error, *error.others):
                    leave_out(numbers[one.number or 0], one.reason)
    raise DataError(f"none of {len(texts)} texts can be taken")
