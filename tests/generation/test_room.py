"""How many tokens a text may get, and what is said where they do not fit."""

import warnings

import pytest

from tests.generation.tiny import pretrained, tiny
from zoo.errors import DataError, ZooError
from zoo.generation.room import DEFAULT_NEW_TOKENS, Room, check_length, new_token_limits, room_behind

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
