"""Errors name options as they are typed."""

from typing import Any

import pytest

from zoo.cli import chat, evaluate, fill, generate, score
from zoo.cli.decoding_options import Stop, Temperature
from zoo.cli.option_names import as_typed, option_names, told_as_typed
from zoo.cli.text_file import File
from zoo.errors import CheckpointError, ConfigError, DataError, TrainingError, ZooError

NAMES = {"num_beams": "--num-beams", "which": "--which", "stop": "--stop", "max_new_tokens": "--max-new-tokens"}


@pytest.mark.parametrize(
    ("words", "typed"),
    [
        ("ask for more num_beams", "ask for more --num-beams"),
        ("with num_beams=4 there are", "with --num-beams 4 there are"),
        ("leave out which='best' and which=\"ema\"", "leave out --which best and --which ema"),
        ("which stop is meant: which, stop", "which stop is meant: which, stop"),
        ("write stop=[1, 2], num_beams.", "write --stop [1, 2], --num-beams."),
        ("trainer.num_beams, runs/num_beams/x, num_beams.py, my_num_beams", None),
        ("--num-beams 'num_beams'", None),
        ("the model's num_beams and the row's", "the model's --num-beams and the row's"),
        ("no blank in 'a num_beams b' with num_beams", "no blank in 'a num_beams b' with --num-beams"),
        ("no text (fields: 'max_new_tokens', \"num_beams\")", None),
    ],
)
def test_options_in_a_sentence(words: str, typed: str | None) -> None:
    assert as_typed(words, NAMES) == (words if typed is None else typed)


def test_every_option_of_a_verb_has_its_name() -> None:
    for verb in (generate, chat, fill, score):
        assert option_names(verb.run)["which"] == "--which"
    assert option_names(generate.run)["max_new_tokens"] == "--max-new-tokens"
    assert option_names(generate.run)["file"] == "--file"
    assert "prompt" not in option_names(generate.run)
    assert option_names(evaluate.run) == {}  # its errors are about keys of a config too


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ConfigError("0 goes with stop='a'", "temperature"), ConfigError("0 goes with --stop a", "--temperature")),
        (ConfigError("is wrong", "model.dim"), ConfigError("is wrong", "model.dim")),
        (ConfigError("is wrong", "stop.1"), ConfigError("is wrong", "--stop[1]")),
        (
            ConfigError("is wrong", "stop", [ConfigError("is stop='a'", "temperature")]),
            ConfigError("is wrong", "--stop", [ConfigError("is --stop a", "--temperature")]),
        ),
        (DataError("stop='a'"), DataError("--stop a")),
        (CheckpointError("leave out stop='a'"), CheckpointError("leave out --stop a")),
        (ZooError("stop='a'"), ZooError("--stop a")),
        (TrainingError("stop='a'"), TrainingError("stop='a'")),
    ],
    ids=str,
)
def test_errors_keep_their_kind(error: ZooError, told: ZooError) -> None:
    def run(temperature: Temperature = None, stop: Stop = None, file: File = None) -> None:
        raise error

    with pytest.raises(ZooError) as caught:
        told_as_typed(run)()
    assert (type(caught.value), str(caught.value)) == (type(told), str(told))


def test_a_verb_is_called_as_before() -> None:
    seen: list[Any] = []

    def run(temperature: Temperature = None, stop: Stop = None) -> None:
        seen.append((temperature, stop))

    told_as_typed(run)(0.5, stop=["a"])
    assert seen == [(0.5, ["a"])]
