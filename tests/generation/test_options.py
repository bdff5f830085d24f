"""Options of decoding by name: those of other libraries are told what they are called here."""

from inspect import signature
from typing import Any

import numpy as np
import pytest
import torch

from tests.generation.vocabularies import tokenizer_of
from zoo.errors import ConfigError
from zoo.generation.decoding import DecodingConfig
from zoo.generation.options import ELSEWHERE, OF_THE_CALL, decoding_config, with_special_stops
from zoo.pretrained import Pretrained


def test_one_stop_string_is_a_list_of_one() -> None:
    assert decoding_config({"stop": "x", "temperature": 1}) == DecodingConfig(stop=("x",), temperature=1.0)


def test_numbers_may_be_those_of_numpy_and_ids_an_array_or_a_tensor() -> None:
    plain = {"temperature": 1.5, "top_k": 7, "seed": 3, "stop_tokens": [5, 6], "prefix_tokens": [8], "top_p": 0.5}
    expected = decoding_config({**plain, "cache": {"kind": "static", "length": 90}})
    other = {
        "temperature": np.float32(1.5),
        "top_k": np.int64(7),
        "seed": torch.tensor(3),
        "stop_tokens": np.array([5, 6]),
        "prefix_tokens": (np.int32(8),),
        "top_p": np.float16(0.5),
        "cache": {"kind": "static", "length": np.int64(90)},
    }
    assert decoding_config(other) == expected
    assert decoding_config({**other, "stop_tokens": torch.tensor([5, 6])}) == expected
    assert decoding_config({"stop": np.array(["a", "b"])}) == decoding_config({"stop": ["a", "b"]})
    assert decoding_config({"num_beams": 2, "early_stopping": np.True_}).early_stopping is True
    for name, value in (("seed", np.float64(1.5)), ("top_k", np.True_), ("prefix_tokens", np.array([[5]]))):
        with pytest.raises(ConfigError, match=f"^{name}"):
            decoding_config({"temperature": 1.0, name: value})


def test_options_of_the_call_are_those_of_generate() -> None:
    assert set(OF_THE_CALL) == set(signature(Pretrained.generate).parameters) - {"self", "prompt", "options"}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("max_new_token", "did you mean 'max_new_tokens'.*batch_size.*details.*max_new_tokens.*prefix"),
        ("temprature", "did you mean 'temperature'"),
        ("max_length", "^max_length: no option of this name here; write max_new_tokens"),
        ("do_sample", "^do_sample: .*a temperature above 0 draws"),
    ],
)
def test_an_unknown_option_is_told(name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        decoding_config({name: 5})


@pytest.mark.parametrize(
    ("options", "keys"),
    [
        (
            {"temperature": 1.0, "top_p": 2, "top_k": 0, "min_p": 3, "typical_p": 5, "seed": -1},
            ["top_k", "top_p", "min_p", "typical_p", "seed"],
        ),
        ({"foo": 1, "top_p": "a", "max_length": 5, "num_beams": 0}, ["foo", "max_length", "num_beams", "top_p"]),
        (
            {"top_k": 3, "top_p": 0.5, "seed": 2, "length_penalty": 2.0, "best_of": 2, "stop": ""},
            ["top_k", "top_p", "seed", "length_penalty", "best_of", "stop"],
        ),
        ({"cache": {"kind": "static", "length": 0, "size": 3}, "top_k": 3}, ["cache.size", "cache.length"]),
    ],
)
def test_all_that_is_wrong_is_told_at_once(options: dict[str, Any], keys: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        decoding_config(options)
    assert [error.key for error in (caught.value, *caught.value.others)] == keys
    assert len(keys) == 1 or str(caught.value).startswith(f"{len(keys)} settings are wrong:\n  {keys[0]}: ")


def test_what_is_called_otherwise_elsewhere_is_no_option_here() -> None:
    assert not set(ELSEWHERE) & ({*DecodingConfig.__dataclass_fields__} | {*OF_THE_CALL})


def test_a_stop_string_that_spells_a_special_token_is_the_token() -> None:
    tokenizer = tokenizer_of("t5")
    end, sentinel = tokenizer.role("end"), tokenizer.sentinels[1]
    config = decoding_config({"stop": ["</s>", "x", "<extra_id_1>"], "stop_tokens": [sentinel, 9]})
    found = with_special_stops(config, tokenizer)
    assert found.stop == config.stop
    assert found.stop_tokens == (sentinel, 9, end)
    assert with_special_stops(decoding_config({}), tokenizer) == decoding_config({})
    for stop in ("</s>\n", " </s>", "a<extra_id_1>"):
        with pytest.raises(ConfigError, match=r"stop: '.*' never comes: '<.*>' in it is a special token"):
            with_special_stops(decoding_config({"stop": ["x", stop]}), tokenizer)
