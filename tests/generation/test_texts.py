"""Texts, whole and streamed: the same, cut at stop strings, chosen among several."""

import itertools
from typing import Any

import numpy as np
import pytest
import torch

from tests.generation.tiny import pretrained
from tests.generation.vocabularies import LLAMA, tokenizer_of
from zoo.errors import ConfigError, DataError
from zoo.generation.cache import CacheConfig
from zoo.pretrained import Pretrained

LONG: dict[str, Any] = {"temperature": 1.5, "seed": 2, "max_new_tokens": 20}


PAIRS = [("decoder", "bytes"), ("decoder", LLAMA), ("encoder_decoder", "t5"), ("encoder_decoder", "t5 with bytes")]
"""Families, and vocabularies that spell characters in bytes each in its own way."""


@pytest.mark.parametrize("kind, vocabulary", PAIRS)
def test_stop_strings_cut_a_text_and_its_stream_alike(kind: str, vocabulary: str) -> None:
    model = pretrained(kind, vocabulary, positions="rotary")
    free = model.generate("The dog", **LONG)
    for start in (1, 6, 11):
        stop = free[start : start + 2]
        written = model.generate("The dog", stop=stop, details=True, **LONG)
        assert written.text == free[: free.index(stop)]
        assert written.finished == "stop"
        assert "".join(model.stream("The dog", stop=[stop], **LONG)) == written.text
    assert model.generate("The dog", stop="\0", **LONG) == free


@pytest.mark.parametrize("kind, vocabulary", PAIRS)
def test_stop_strings_cut_the_texts_of_beams(kind: str, vocabulary: str) -> None:
    model, prompts = pretrained(kind, vocabulary, positions="rotary"), ["The dog", "A"]
    options: dict[str, Any] = {"num_beams": 3, "max_new_tokens": 12}
    stop = [text[1:3] for text in model.generate(prompts, **options) if len(text) > 2]
    found = model.generate(prompts, num_return=3, stop=stop, details=True, **options)
    texts = [one for of_prompt in found for one in of_prompt]
    assert any(one.finished == "stop" for one in texts)
    assert not any(string in one.text for one in texts for string in stop)
    for one in texts:
        whole = model.tokenizer.decode(one.tokens)
        assert any(string in whole for string in stop) == (one.finished == "stop")
    alone = model.generate(prompts[1], num_return=3, stop=stop, **options)
    assert [one.text for one in found[1]] == alone


def dictated(model: Pretrained, tokens: list[int]) -> None:
    """Makes a model write these tokens, one at each call, whatever it reads."""
    left = itertools.chain(tokens, itertools.repeat(tokens[-1]))

    def dictate(_: Any, __: Any, logits: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(logits).index_fill(-1, torch.tensor([next(left)]), 9.0)

    model.model.heads["language_model"].register_forward_hook(dictate)


@pytest.mark.parametrize("name", [LLAMA, "t5 with bytes", "gpt", "bytes"])
def test_characters_in_bytes_are_written_whole_and_stop_with_their_last_byte(name: str) -> None:
    def written(**options: Any) -> Any:
        model = pretrained("decoder", name, positions="rotary", max_length=64)
        dictated(model, tokens)
        one = model.generate("a", max_new_tokens=len(tokens), details=True, **options)
        if "num_beams" not in options:
            dictated(streaming := pretrained("decoder", name, positions="rotary", max_length=64), tokens)
            pieces = list(streaming.stream("a", max_new_tokens=len(tokens), **options))
            assert "".join(pieces) == one.text
            assert not any("�" in piece for piece in pieces)
        return one

    tokenizer = tokenizer_of(name)
    ids = {byte: id for id, byte in tokenizer.byte_values.items()}
    tokens = [ids[byte] for byte in "日本😀".encode()] if ids else tokenizer.encode("日本😀").tolist()
    for beams in ({}, {"num_beams": 2}):
        assert written(**beams).text == written(stop="zzz", **beams).text == "日本😀"
        assert written(stop="zzz", **beams).finished == "length"
        stopped = written(stop=["本", "😀"], **beams)
        assert (stopped.text, stopped.finished) == ("日", "stop")
        assert tokenizer.decode(stopped.tokens) == "日本"


@pytest.mark.parametrize("kind, vocabulary", PAIRS)
def test_a_special_token_that_is_spelt_as_a_stop_string_ends_a_text(kind: str, vocabulary: str) -> None:
    model = pretrained(kind, vocabulary, positions="rotary", max_length=64)
    special = model.tokenizer.sentinels[3] if model.tokenizer.sentinels else model.tokenizer.special_ids.tolist()[0]
    stop = model.tokenizer.token(special)
    for options in ({}, {"num_beams": 2}, {"min_new_tokens": 5}, {"temperature": 1.0, "best_of": 2}):
        dictated(model, [*model.tokenizer.encode("The dog").tolist(), special, 9, 9, 9])
        told = model.generate("The", stop=stop, max_new_tokens=12, details=True, **options)
        dictated(model, [*model.tokenizer.encode("The dog").tolist(), special, 9, 9, 9])
        assert told == model.generate("The", stop_tokens=[special], max_new_tokens=12, details=True, **options)
        assert "min_new_tokens" in options or told.finished == "end"


def test_what_ends_a_text_in_its_prefix_is_refused() -> None:
    model = pretrained("decoder", positions="rotary")
    for call in (model.generate, model.stream):
        for options, key in (
            ({"stop": ["x", ":"]}, "stop"),
            ({"stop_tokens": model.tokenizer.encode(":").tolist()}, "prefix"),
        ):
            with pytest.raises(ConfigError, match="would end the text in its prefix") as caught:
                call("The dog", prefix="Answer: no", **options)
            assert caught.value.key == key
    assert model.generate("The dog", prefix="Answer", stop=":", max_new_tokens=7).startswith("Answer")


def test_what_is_wrong_with_a_prefix_is_told_by_the_name_that_it_came_by() -> None:
    model = pretrained("decoder", positions="rotary")
    for name, prefix in (("prefix", "abcdef"), ("prefix_tokens", [5] * 6)):
        for call in (model.generate, model.generations, model.stream):
            with pytest.raises(ConfigError, match=rf"^{name}: 6 tokens exceeds max_new_tokens=2$") as caught:
                call("The dog", max_new_tokens=2, **{name: prefix})
            assert caught.value.key == name


def test_a_least_length_holds_tokens_back_and_not_strings() -> None:
    model = pretrained("decoder", positions="rotary")
    dictated(model, model.tokenizer.encode("a cat").tolist())
    assert model.generate("The", min_new_tokens=5, max_new_tokens=5, stop="c") == "a "


def test_a_text_stops_alone() -> None:
    model, prompts = pretrained("decoder", positions="rotary"), ["The dog", "A", "In the park"]
    free = model.generate(prompts, **LONG)
    stopped = model.generate(prompts, stop=free[1][4:6], **LONG)
    assert stopped[1] == free[1][: free[1].index(free[1][4:6])]
    assert all(one == other or free[1][4:6] in other for one, other in zip(stopped, free, strict=True))


def test_details_hold_what_was_written() -> None:
    model = pretrained("decoder", positions="rotary")
    written = model.generate("The dog", details=True, **LONG)
    assert written.text == model.generate("The dog", **LONG)
    assert len(written.tokens) == len(written.log_probabilities) == 20
    assert written.score == pytest.approx(sum(written.log_probabilities) / 20)
    assert written.finished == "length"


@pytest.mark.parametrize("options", [{"num_beams": 3}, {"temperature": 1.0, "best_of": 4}], ids=str)
@pytest.mark.parametrize("kind", ["decoder", "encoder_decoder"])
def test_several_texts_come_best_first(kind: str, options: dict[str, Any]) -> None:
    model, prompts = pretrained(kind, positions="rotary"), ["The dog", "A"]
    found = model.generate(prompts, num_return=2, details=True, max_new_tokens=6, **options)
    assert [len(of_prompt) for of_prompt in found] == [2, 2]
    assert all(one.score >= other.score for one, other in found)
    assert model.generate("A", num_return=1, max_new_tokens=6, **options) != "A"
    assert [one.text for one, _ in found] == model.generate(prompts, max_new_tokens=6, **options)
    texts = model.generate("The dog", num_return=2, max_new_tokens=6, **options)
    assert texts == [one.text for one in found[0]]


@pytest.mark.parametrize("kind", ["decoder", "encoder_decoder"])
def test_a_prefix_begins_the_output(kind: str) -> None:
    model = pretrained(kind, positions="rotary")
    prefix = model.tokenizer.prompt("A cat").tolist()
    written = model.generate("The dog", prefix="A cat", max_new_tokens=len(prefix) + 4, details=True)
    assert written.tokens[: len(prefix)] == prefix
    assert "cat" in written.text
    assert "".join(model.stream("The dog", prefix="A cat", max_new_tokens=len(prefix) + 4)) == written.text


@pytest.mark.parametrize("options", [{"temperature": 1.5, "seed": 2, "stop": "e"}, {"temperature": 0.0}], ids=str)
@pytest.mark.parametrize("kind", ["decoder", "encoder_decoder"])
def test_several_prompts_are_streamed_side_by_side(kind: str, options: dict[str, Any]) -> None:
    model, prompts = pretrained(kind, positions="learned"), ["The dog", "A", "In the park", "", "A cat"]
    if kind == "encoder_decoder":
        prompts[3] = "The"
    whole = model.generate(prompts, **options)  # None of them longer than its own learned positions
    for size in (1, 2, 5):
        pieces = list(model.stream(prompts, batch_size=size, **options))
        assert [piece.prompt for piece in pieces if piece.last].count(3) == 1
        for number, text in enumerate(whole):
            own = [piece for piece in pieces if piece.prompt == number]
            assert "".join(piece.text for piece in own) == text
            assert [piece.last for piece in own] == [False] * (len(own) - 1) + [True]
        assert all(piece.text or piece.last for piece in pieces)
        orders = [piece.prompt for piece in pieces]
        assert (orders == sorted(orders)) == (size == 1)
    assert list(model.stream([], **options)) == []
    with pytest.raises(ConfigError, match="batch_size: 0"):
        model.stream(prompts, batch_size=0)
    with pytest.raises(DataError, match="the model has 24"):
        model.stream(["The", "dog " * 30])


@pytest.mark.parametrize(
    "options, key",
    [
        ({"num_beams": 2}, "num_beams"),
        ({"temperature": 1.0, "best_of": 2}, "best_of"),
        ({"temperature": 1.0, "best_of": 3, "num_return": 2}, "best_of"),
        ({"temperature": 1.0, "num_return": 3}, "num_return"),
    ],
)
def test_what_is_chosen_among_several_is_not_streamed(options: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError, match="whole before one is chosen") as caught:
        pretrained("decoder").stream("The", **options)
    assert caught.value.key == key


def test_a_prefix_is_said_once() -> None:
    with pytest.raises(ConfigError, match="say it twice"):
        pretrained("decoder").generate("The", prefix="a", prefix_tokens=[3])


@pytest.mark.parametrize("kind", ["decoder", "encoder_decoder"])
def test_the_size_of_a_batch_changes_nothing(kind: str) -> None:
    model, prompts = pretrained(kind, positions="rotary"), ["The dog", "A", "In the park", "The", "A cat"]
    whole = model.generate(prompts, **LONG)
    assert [model.generate(prompts, batch_size=size, **LONG) for size in (1, 2, 5)] == [whole] * 3
    each = model.generations(prompts, batch_size=2, best_of=2, **LONG)
    assert len(next(each)) == 1
    assert len(list(each)) == 4
    with pytest.raises(ConfigError, match="batch_size: 0"):
        model.generate(prompts, batch_size=0)
    learned = pretrained("decoder")
    with pytest.raises(DataError, match="the model has 24"):
        learned.generations(["The", "x" * 30], batch_size=1)


@pytest.mark.parametrize("options", [{"temperature": 1.0, "seed": 1}, {"num_beams": 3}], ids=str)
@pytest.mark.parametrize("family", ["decoder", "encoder_decoder"])
@pytest.mark.parametrize("kind", CacheConfig.choices)
def test_the_cache_that_is_asked_for_is_used(
    kind: str, family: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It changes no text; what was built tells that it was used."""
    built: list[str] = []
    for name, choice in CacheConfig.choices.items():

        def build(self: Any, *arguments: Any, build: Any = choice.build, name: str = name) -> Any:
            built.append(name)
            return build(self, *arguments)

        monkeypatch.setattr(choice, "build", build)
    model = pretrained(family, positions="rotary", attention={"window": 3})
    options = {**options, "max_new_tokens": 8}
    plain = model.generate("The dog", **options)
    assert model.generate("The dog", cache=kind, **options) == plain
    expected = ["growing" if "num_beams" in options else "static", kind]
    if "num_beams" not in options:
        assert "".join(model.stream("The dog", cache=kind, **options)) == plain
        expected.append(kind)
    assert built == expected


def test_a_cache_that_does_nothing_is_refused() -> None:
    model = pretrained("decoder", positions="rotary")
    for write in (model.generate, model.stream):
        with pytest.raises(ConfigError, match=r"^cache: windowed forgets nothing here: no layer"):
            write("The dog", cache="windowed")
        with pytest.raises(ConfigError, match=r"^cache.*did you mean 'static'"):
            write("The dog", cache="statik")


@pytest.mark.parametrize("kind", ["decoder", "encoder_decoder"])
def test_a_cache_that_is_too_short_is_refused_at_once(kind: str) -> None:
    """Whichever prompts come side by side: by the longest of all, not batch by batch."""
    model, prompts = pretrained(kind, max_length=64), ["a", "a long text"]
    places = 5 + (max(map(len, model._prompts(prompts))) if kind == "decoder" else 1)
    for call, size in itertools.product((model.generate, model.generations, model.stream), (1, 2)):
        with pytest.raises(
            ConfigError, match=f"^cache.length: {places - 1} places do not hold the {places} "
        ) as caught:
            call(prompts, max_new_tokens=5, batch_size=size, cache={"kind": "static", "length": places - 1})
        assert caught.value.key == "cache.length"
        assert len(list(call(prompts, max_new_tokens=5, cache={"kind": "static", "length": places}))) > 1


def test_a_cache_holds_what_some_batch_needs_and_no_more() -> None:
    """Where learned positions run out a longer prompt gets fewer tokens: its length and another's limit never meet."""
    model, prompts = pretrained("decoder", positions="learned", max_length=32), ["A cat", "The dog and the cat"]
    expected = [model.generate(prompt) for prompt in prompts]
    calls: list[Any] = [model.generate, model.generations, model.stream]
    for call in calls:
        assert list(call(prompts, batch_size=1, cache={"kind": "static", "length": 33}))
        for size, length in ((1, 32), (2, 33)):
            with pytest.raises(ConfigError, match=f"^cache.length: {length} places do not hold the "):
                call(prompts, batch_size=size, cache={"kind": "static", "length": length})
    assert model.generate(prompts, batch_size=1, cache={"kind": "static", "length": 33}) == expected


def test_details_are_true_or_false() -> None:
    with pytest.raises(ConfigError, match=r"^details: 'no' must be True or False"):
        pretrained("decoder").generate("A", details="no")


def test_counts_may_be_those_of_numpy_and_torch() -> None:
    model, encoder = pretrained("decoder"), pretrained("encoder")
    expected = model.generate("A cat", max_new_tokens=3)
    threes: list[Any] = [np.int64(3), torch.tensor(3)]
    for three in threes:
        options: dict[str, Any] = {"max_new_tokens": three, "batch_size": three}
        assert model.generate("A cat", **options) == expected
        assert next(iter(model.generations(["A cat"], **options)))[0].text == expected
        assert "".join(model.stream("A cat", **options)) == expected
        assert encoder.fill("A [MASK]", top=three) == encoder.fill("A [MASK]", top=3)
        with pytest.raises(ConfigError, match=r"^max_new_tokens: -3 must be"):
            model.generate("A cat", max_new_tokens=-three)
