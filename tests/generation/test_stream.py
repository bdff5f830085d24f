"""Pieces of streamed text add up to the whole and never split a character."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.generation.vocabularies import SETTINGS, tokenizer_of
from zoo.generation.stream import TextStream, text_of
from zoo.tokenizer.tokenizer import Tokenizer

TEXTS = [
    "The dog sees the cat.",
    "naïve 😀 日本語 für Öl 😀😀",
    "a\n\n  b   c",
    "it's the cat, isn't it? (the dog)",
]


def pieces_of(tokenizer: Tokenizer, tokens: list[int], before: list[int]) -> list[str]:
    stream = TextStream(tokenizer, before)
    return [*(stream.push(token) for token in tokens), stream.finish()]


@pytest.mark.parametrize("name", ["gpt", "bytes", "t5", "bert"])
@pytest.mark.parametrize("text", TEXTS)
def test_pieces_are_the_whole_wherever_the_prompt_ends(name: str, text: str) -> None:
    tokenizer = tokenizer_of(name)
    tokens = tokenizer.encode(text).tolist()
    for cut in range(len(tokens)):
        pieces = pieces_of(tokenizer, tokens[cut:], tokens[:cut])
        if "�" not in tokenizer.decode(tokens[:cut]):  # a prompt is text and ends with a whole character
            assert "".join(pieces) == text_of(tokenizer, tokens[cut:], tokens[:cut])
            assert tokenizer.decode(tokens[:cut]) + "".join(pieces) == tokenizer.decode(tokens)
            assert not any("�" in piece for piece in pieces)
    if name in ("gpt", "bytes"):
        assert "".join(pieces_of(tokenizer, tokens, [])) == text


def test_a_character_comes_when_its_last_byte_does() -> None:
    tokenizer = tokenizer_of("bytes")
    assert pieces_of(tokenizer, tokenizer.encode("é😀!").tolist(), []) == ["", "é", "", "", "", "😀", "!", ""]


@given(st.lists(st.integers(1, 256), max_size=40))
def test_bytes_that_are_no_text_come_out_as_in_the_whole(tokens: list[int]) -> None:
    tokenizer = tokenizer_of("bytes")
    assert "".join(pieces_of(tokenizer, tokens, [])) == tokenizer.decode(tokens)


@pytest.mark.parametrize("name", list(SETTINGS))
def test_any_tokens_come_out_as_in_the_whole(name: str) -> None:
    tokenizer, random = tokenizer_of(name), np.random.default_rng(0)
    ordinary = np.setdiff1d(np.arange(tokenizer.vocab_size), tokenizer.special_ids)
    prompt = tokenizer.encode("The cat").tolist()
    for _ in range(20):
        tokens = random.choice(ordinary, size=60).tolist()
        assert "".join(pieces_of(tokenizer, tokens, prompt)) == text_of(tokenizer, tokens, prompt)


@pytest.mark.parametrize("name", ["gpt", "bytes", "t5", "bert"])
def test_long_texts_stay_exact(name: str) -> None:
    tokenizer = tokenizer_of(name)
    tokens = tokenizer.encode("The naïve 😀 dog sees 日本語. " * 60).tolist()
    assert len(tokens) > 400
    assert "".join(pieces_of(tokenizer, tokens, [])) == tokenizer.decode(tokens)


@pytest.mark.parametrize("name", ["gpt", "t5", "bert"])
def test_special_tokens_are_silent(name: str) -> None:
    tokenizer = tokenizer_of(name)
    tokens = tokenizer.encode("the dog").tolist()
    special = int(tokenizer.special_ids[0])
    mixed = [special, tokens[0], special, *tokens[1:], special]
    assert "".join(pieces_of(tokenizer, mixed, [special])) == tokenizer.decode(tokens)
    assert text_of(tokenizer, mixed, [special]) == tokenizer.decode(tokens)


def test_a_continued_word_keeps_its_space_or_none() -> None:
    for name in ("gpt", "t5", "bert"):
        tokenizer = tokenizer_of(name)
        before = tokenizer.encode("The dog").tolist()
        both = tokenizer.encode("The dog sees").tolist()
        assert both[: len(before)] == before
        assert text_of(tokenizer, both[len(before) :], before) == " sees"
