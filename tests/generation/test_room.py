"""How many tokens a text may get, and what is said where they do not fit."""

import warnings
from typing import Any

import pytest

from tests.generation.tiny import pretrained, tiny
from zoo.errors import ConfigError, DataError, ZooError
from zoo.generation.room import (
    DEFAULT_NEW_TOKENS,
    MOST_NEW_TOKENS,
    Room,
    check_length,
    new_token_limits,
    room_behind,
)

LENGTH = 24
"""Learned positions of a tiny model."""


def test_learned_positions_run_out_behind_a_decoders_prompt() -> None:
    model = tiny("decoder", positions="learned")
    assert room_behind(model, 20) == Room(LENGTH, 20)
    assert new_token_limits(model, [20, 1], None) == [5, LENGTH]  # the last token is never read
    assert new_token_limits(model, [20], 5) == [5]
    with pytest.raises(
        DataError,
        match="max_new_tokens=6, but only 5 are left: 20 of the model's 24 learned positions are taken, and the last",
    ):
        new_token_limits(model, [20], 6)
    with pytest.raises(DataError, match="the text has 25 tokens and the model has 24"):
        room_behind(model, LENGTH + 1)


def test_an_encoder_decoders_output_has_room_of_its_own() -> None:
    model = tiny("encoder_decoder", positions="learned")
    assert room_behind(model, 20) == Room(LENGTH, 1)
    assert new_token_limits(model, [20], None) == [LENGTH]


def test_other_positions_do_not_run_out() -> None:
    model = tiny("decoder", positions="rotary")
    assert room_behind(model, 1000) is None
    assert new_token_limits(model, [1000, 3], None) == [DEFAULT_NEW_TOKENS] * 2
    check_length(1000, None)


def test_where_nobody_says_there_is_room_for_what_is_asked_for_besides() -> None:
    model = tiny("decoder", positions="rotary")
    assert new_token_limits(model, [3], None, forced=100) == [100 + DEFAULT_NEW_TOKENS]
    assert new_token_limits(model, [3], None, least=100) == [100]
    assert new_token_limits(model, [3], None, forced=2, least=3) == [2 + DEFAULT_NEW_TOKENS]
    assert new_token_limits(model, [3], 5, forced=2, least=3) == [5]  # what somebody says, counts
    learned = tiny("decoder", positions="learned")
    assert new_token_limits(learned, [20], None, forced=5, least=5) == [5]


OPTIONS: list[dict[str, Any]] = [{"min_new_tokens": 80}, {"prefix": "x" * 80}, {"prefix": "x" * 70, "num_beams": 2}]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: next(iter(options)))
def test_a_text_is_as_long_as_is_asked_for_where_nobody_says_how_long(options: dict[str, Any]) -> None:
    model = pretrained("decoder", positions="alibi")
    text = model.generate("The dog", details=True, **options)
    least = options.get("min_new_tokens", 0) or len(options["prefix"])
    assert len(text.tokens) >= least
    assert text.text.startswith(options.get("prefix", ""))
    assert "".join(model.stream("The", **OPTIONS[0])) == model.generate("The", **OPTIONS[0])


@pytest.mark.parametrize(
    "options, message",
    [
        ({"min_new_tokens": 20}, "min_new_tokens=20, but only 3 are left: 22 of .* 24 learned .*ask for at most 3, or"),
        ({"prefix": "Answer:"}, "the prefix has 7 tokens, but only 3 are left: 22 of"),
        ({"prefix": "Answer:", "num_beams": 2}, "the prefix has 7 tokens, but only 3 are left: 22 of"),
    ],
    ids=str,
)
def test_what_learned_positions_have_no_room_for_is_refused(options: dict[str, Any], message: str) -> None:
    model = pretrained("decoder", positions="learned")
    with pytest.raises(DataError, match=message):
        model.generate("The dog sees the park!", **options)
    with pytest.raises(DataError, match=rf"^text 1: {message}"):
        model.generate(["The", "The dog sees the park!"], **options)
    if "num_beams" not in options:
        with pytest.raises(DataError, match=message):
            model.stream("The dog sees the park!", **options)


def test_no_text_is_longer_than_a_number_can_say() -> None:
    model = tiny("decoder", positions="rotary")
    assert new_token_limits(model, [3], MOST_NEW_TOKENS) == [MOST_NEW_TOKENS]
    with pytest.raises(ConfigError, match=r"^max_new_tokens: 10000.* must be at most 2147483647"):
        new_token_limits(model, [3], 10**30)
    with pytest.raises(ConfigError, match=r"^min_new_tokens: 10000.* must be at most"):
        new_token_limits(model, [3], None, least=10**30)


def test_what_goes_beyond_the_length_of_rotary_positions_is_a_warning() -> None:
    told = r"made for texts of at most 24 tokens \(max_length\), and this goes beyond"
    model = pretrained("decoder", positions="rotary")
    with pytest.warns(UserWarning, match=told):
        model.generate("The dog", max_new_tokens=LENGTH)
    with pytest.warns(UserWarning, match=told):
        model.score("The dog sees the cat in the park")
    with pytest.warns(UserWarning, match=told):
        pretrained("encoder", positions="rotary").embed("the " * LENGTH)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.generate("The", max_new_tokens=LENGTH - 2)
        pretrained("decoder", positions="alibi").generate("The dog", max_new_tokens=LENGTH)


def test_what_cannot_be_gone_on_from_is_refused() -> None:
    with pytest.raises(DataError, match=r"^text 1: the prompt is empty"):
        new_token_limits(tiny("decoder"), [3, 0], None)
    with pytest.raises(ZooError, match="'encoder' cannot write texts"):
        room_behind(tiny("encoder"), 3)
