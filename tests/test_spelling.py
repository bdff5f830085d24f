"""A sentence calls an option as whoever reads it typed it, and leaves alone what it quotes."""

import pickle

import pytest

from zoo.errors import ConfigError
from zoo.spelling import named, named_key, spelled

TYPED = {"num_beams": "--num-beams", "stop": "--stop", "which": "--which"}


def test_python_names_where_nobody_says_otherwise() -> None:
    assert (named("num_beams"), named("num_beams", 4), named("which", "best")) == (
        *("num_beams", "num_beams=4"),
        "which='best'",
    )
    assert named_key("stop.1") == "stop.1"


def test_as_typed_inside_and_as_before_behind_it() -> None:
    with spelled(TYPED):
        assert (named("num_beams"), named("num_beams", 4)) == ("--num-beams", "--num-beams 4")
        assert (named("temperature"), named("temperature", 0.5)) == ("temperature", "temperature=0.5")
        with spelled({}):
            assert named("num_beams") == "num_beams"
        assert named("num_beams") == "--num-beams"
    assert named("num_beams") == "num_beams"


def test_a_value_is_typed_so_that_a_shell_takes_it() -> None:
    with spelled(TYPED):
        assert [named("stop", text) for text in ("best", "two words", "")] == [
            "--stop best",
            "--stop 'two words'",
            "--stop ''",
        ]


def test_an_error_ends_it() -> None:
    with pytest.raises(ConfigError), spelled(TYPED):
        raise ConfigError("is wrong", "stop")
    assert named("stop") == "stop"


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("num_beams", "--num-beams: is wrong"),
        ("stop.1", "--stop[1]: is wrong"),
        ("model.stop", "model.stop: is wrong"),
        ("", "is wrong"),
    ],
)
def test_a_config_error_keeps_its_key_and_tells_it_as_typed(key: str, told: str) -> None:
    with spelled(TYPED):
        errors = [ConfigError("is wrong", key), ConfigError("is wrong").under(key)]
    for error in (*errors, pickle.loads(pickle.dumps(errors[0]))):
        assert (str(error), error.key, error.reason) == (told, key, "is wrong")


def test_all_that_is_wrong_is_told_as_typed() -> None:
    with spelled(TYPED):
        error = ConfigError("is wrong", "which", [ConfigError("is too", "stop")])
    assert str(error) == "2 settings are wrong:\n  --which: is wrong;\n  --stop: is too"
    assert [error.key, *(other.key for other in error.others)] == ["which", "stop"]


def test_a_key_that_grows_is_no_option_any_more() -> None:
    with spelled(TYPED):
        assert str(ConfigError("is wrong", "which").under("best")) == "best.which: is wrong"
