"""What can be asked of decoding, what goes against each other, and which of several texts come back."""

from typing import Any

import pytest

from tests.generation.test_generate import LENGTHS
from tests.generation.tiny import PADDING, VOCAB_SIZE, prompts_of, tiny
from tests.generation.vocabularies import tokenizer_of
from zoo.errors import ConfigError
from zoo.generation.decoding import DecodingConfig, decode
from zoo.generation.generate import generate
from zoo.generation.roles import TokenRoles
from zoo.generation.sample import SamplingConfig
from zoo.generation.stop import StoppingStream
from zoo.generation.stream import TextStream

ROLES = TokenRoles(VOCAB_SIZE, PADDING)


@pytest.mark.parametrize("family", ["decoder", "encoder_decoder"])
def test_the_best_of_n_are_the_likeliest_of_the_drawn(family: str) -> None:
    model, prompts = tiny(family, positions="rotary"), prompts_of(LENGTHS)
    settings: dict[str, Any] = {"temperature": 1.5, "seed": 3}
    best = decode(model, prompts, ROLES, DecodingConfig(best_of=6, num_return=2, **settings), max_new_tokens=5)
    drawn = generate(model, prompts, ROLES, max_new_tokens=5, sampling=SamplingConfig(**settings), samples=6)
    for number, of_prompt in enumerate(best):
        ranked = sorted(drawn[6 * number : 6 * number + 6], key=lambda row: -sum(row.log_probabilities) / 5)
        assert [one.row for one in of_prompt] == ranked[:2]
        assert of_prompt[0].score == pytest.approx(sum(ranked[0].log_probabilities) / 5)
    assert len({tuple(row.tokens) for row in drawn[:6]}) == 6


@pytest.mark.parametrize("family", ["decoder", "encoder_decoder"])
def test_a_sample_does_not_depend_on_how_many_there_are(family: str) -> None:
    model, prompts = tiny(family, positions="rotary"), prompts_of(LENGTHS)
    sampling = SamplingConfig(temperature=1.5, repetition_penalty=1.2, seed=3)
    three = generate(model, prompts, ROLES, max_new_tokens=5, sampling=sampling, samples=3)
    one = generate(model, prompts, ROLES, max_new_tokens=5, sampling=sampling)
    assert [row.tokens for row in three[::3]] == [row.tokens for row in one]


def test_stop_tokens_are_added_to_the_tokenizer_s() -> None:
    model, prompts = tiny("decoder", positions="rotary"), prompts_of((5, 3))
    free = decode(model, prompts, ROLES, DecodingConfig(), max_new_tokens=8)[0][0].row
    assert free.reason == "length"
    (first, _) = decode(model, prompts, ROLES, DecodingConfig(stop_tokens=(free.tokens[2],)), max_new_tokens=8)
    assert first[0].row.reason == "end"
    assert free.tokens[2] not in first[0].row.tokens


def test_a_stop_string_ends_its_row_only() -> None:
    tokenizer = tokenizer_of("bytes")
    model = tiny("decoder", vocab_size=tokenizer.vocab_size, positions="rotary")
    prompts, roles = [[5, 6], [7], [8, 9, 10]], TokenRoles(tokenizer.vocab_size, 0)
    config = DecodingConfig(temperature=1.0, seed=1)
    free = decode(model, prompts, roles, config, max_new_tokens=12)
    text = tokenizer.decode(free[1][0].row.tokens)
    stop = text[4:6]
    stopped = decode(
        model,
        prompts,
        roles,
        config,
        max_new_tokens=12,
        streams=lambda _: StoppingStream(TextStream(tokenizer), [stop]),
    )
    assert tokenizer.decode(stopped[1][0].row.tokens).index(stop) == text.index(stop)
    assert [one[0].row.reason for one in stopped] == ["length", "stop", "length"]
    assert [one[0].row.tokens for one in stopped[::2]] == [one[0].row.tokens for one in free[::2]]
    assert len(stopped[1][0].row.tokens) < 12


WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"num_beams": 3, "temperature": 0.5}, "num_beams", "temperature=0.5"),
    ({"num_beams": 10**6}, "num_beams", "1000000 is more than 1024"),
    ({"num_beams": 3, "top_k": 5}, "top_k", "temperature 0"),
    ({"length_penalty": 2.0}, "length_penalty", "num_beams=1"),
    ({"length_penalty": 1000.0, "num_beams": 2}, "length_penalty", "at most 20"),
    ({"length_penalty": -1000.0, "num_beams": 2}, "length_penalty", "at least -20"),
    ({"early_stopping": True}, "early_stopping", "num_beams=1"),
    ({"best_of": 3}, "best_of", "temperature"),
    ({"best_of": 2, "num_return": 3, "temperature": 1.0}, "best_of", "num_return=3"),
    ({"num_return": 2}, "num_return", "num_beams=1"),
    ({"num_return": 4, "num_beams": 3}, "num_return", "num_beams=3"),
    ({"num_return": 0}, "num_return", "at least 1"),
    ({"stop": ("",)}, "stop", "empty"),
]


@pytest.mark.parametrize("settings, key, message", WRONG, ids=str)
def test_what_goes_against_each_other_is_refused_naming_both(settings: dict[str, Any], key: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        DecodingConfig(**settings)
    assert caught.value.key == key


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"min_new_tokens": 9}, "min_new_tokens: 9 exceeds max_new_tokens=8"),
        ({"prefix_tokens": (1,) * 9}, "prefix_tokens: 9 tokens exceeds max_new_tokens=8"),
        ({"prefix_tokens": (99,)}, r"prefix_tokens: \[99\] are no ids .*0 … 22"),
        ({"stop_tokens": (99,)}, r"stop_tokens: \[99\] are no ids"),
        ({"prefix_tokens": (4, 5), "stop_tokens": (5,)}, r"\[5\] would end the text in its prefix"),
    ],
)
def test_what_does_not_fit_the_tokenizer_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        decode(tiny("decoder"), [[1]], ROLES, DecodingConfig(**settings), max_new_tokens=8)
