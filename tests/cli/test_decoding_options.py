"""Options of decoding: every field has one of its type, and only those that were given are handed on."""

import dataclasses
import types
import typing
from typing import Any, Literal

import pytest
import typer

from zoo.cli.decoding_options import OPTIONS, with_decoding
from zoo.generation.cache import CacheConfig
from zoo.generation.decoding import DecodingConfig


def typed_as(kind: Any) -> Any:
    """The type of an option for a field of this type: several for a list, text for a choice of words."""
    arguments = [one for one in typing.get_args(kind) if one is not types.NoneType]
    if isinstance(kind, types.UnionType):
        return typed_as(arguments[0]) if len(arguments) == 1 else str
    if typing.get_origin(kind) is tuple:
        return list[arguments[0]]  # type: ignore[valid-type]
    return kind if kind in (int, float) else str


def test_every_field_of_decoding_is_an_option_of_its_type() -> None:
    kinds = typing.get_type_hints(DecodingConfig)
    assert set(OPTIONS) == {field.name for field in dataclasses.fields(DecodingConfig)}
    told = {name: typing.get_args(option)[0] for name, option in OPTIONS.items()}
    assert told == {name: typed_as(kinds[name]) | None for name in OPTIONS}


@pytest.mark.parametrize("name, words", [("cache", [*CacheConfig.choices]), ("early_stopping", ["true", "false"])])
def test_words_are_those_that_there_are(name: str, words: list[str]) -> None:
    kind = typing.get_type_hints(DecodingConfig)[name]
    literals = [one for one in typing.get_args(kind) if typing.get_origin(one) is Literal]
    words = [*words, *(word for one in literals for word in typing.get_args(one))]
    option = typing.get_args(OPTIONS[name])[1]
    assert sorted(option.metavar.split("|")) == sorted(words)


def test_what_was_not_given_is_left_out() -> None:
    seen = []
    app = typer.Typer()

    @with_decoding("temperature", "stop", "early_stopping", "prefix_tokens")
    def run(text: str, *, decoding: dict[str, Any], field: str = "none") -> None:
        """Writes."""
        seen.append((text, decoding, field))

    app.command()(run)
    given = ("--temperature", "0", "--stop", "a", "--stop", "b", "--early-stopping", "true", "--prefix-tokens", "3")
    for arguments in ((), (*given, "--field", "some")):
        app(["hi", *arguments], standalone_mode=False)
    decoding = {"temperature": 0.0, "stop": ["a", "b"], "early_stopping": True, "prefix_tokens": [3]}
    assert seen == [("hi", {}, "none"), ("hi", decoding, "some")]
