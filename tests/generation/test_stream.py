"""Pieces of streamed text add up to the whole and never split a character."""

import numpy as np
import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import decoders, models

from tests.generation.vocabularies import LLAMA, VOCABULARIES, tokenizer_of
from zoo.generation.stream import TextStream, text_of
from zoo.tokenizer.special_tokens import SpecialTokens
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


@pytest.mark.parametrize("name", [name for name in VOCABULARIES if name != "characters"])
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


@pytest.mark.parametrize("name", VOCABULARIES)
def test_any_tokens_behind_any_others_come_out_as_in_the_whole(name: str) -> None:
    """Of the whole vocabulary, and of its bytes, whole characters and parts of them."""
    tokenizer, random = tokenizer_of(name), np.random.default_rng(0)
    characters = [tokenizer.encode(one).tolist() for one in ("😀", "é", "本", "dog")] if name != "characters" else [[5]]
    characters += [[byte] for byte in tokenizer.byte_values]
    for _ in range(150):
        tokens = random.integers(tokenizer.vocab_size, size=random.integers(25)).tolist()
        for place in random.integers(len(tokens) + 1, size=4):
            tokens[place:place] = characters[random.integers(len(characters))]
        cut = random.integers(len(tokens))
        for before, behind in (([], tokens), (tokens[:cut], tokens[cut:])):
            pieces = pieces_of(tokenizer, behind, before)
            assert "".join(pieces) == text_of(tokenizer, behind, before)
            if not before:
                assert "".join(pieces) == tokenizer.decode(behind)


@pytest.mark.parametrize("name", [LLAMA, "t5 with bytes"])
def test_bytes_by_themselves_wait_for_the_end_of_their_run(name: str) -> None:
    tokenizer = tokenizer_of(name)
    ids = {byte: id for id, byte in tokenizer.byte_values.items()}
    run, word = [ids[byte] for byte in "日😀".encode()], tokenizer.encode("x dog").tolist()[-1]
    assert pieces_of(tokenizer, [word, *run, word], []) == ["dog", *[""] * 7, "日😀 dog", ""]
    assert pieces_of(tokenizer, [word, *run], []) == ["dog", *[""] * 7, "日😀"]
    assert pieces_of(tokenizer, [word, *run, ids[0xFF], word], []) == ["dog", *[""] * 8, "�" * 8 + " dog", ""]


@pytest.mark.parametrize("name", [LLAMA, "t5 with bytes"])
def test_bytes_cannot_spoil_the_characters_of_a_prompt(name: str) -> None:
    tokenizer = tokenizer_of(name)
    ids = {byte: id for id, byte in tokenizer.byte_values.items()}
    whole, word = [ids[byte] for byte in "本".encode()], tokenizer.encode("x dog").tolist()[-1]
    for prompt in (whole, [word, *whole], [word] * 200 + whole, [word, *whole * 80]):
        assert pieces_of(tokenizer, [ids[0xFF], word], prompt) == ["", "� dog", ""]
        assert pieces_of(tokenizer, [word], prompt) == [" dog", ""]
        assert pieces_of(tokenizer, [*whole, word], prompt) == ["", "", "", "本 dog", ""]
    assert pieces_of(tokenizer, [whole[2], word], [word, *whole[:2]]) == ["", "本 dog", ""]


def test_a_vocabulary_of_nothing_but_bytes_is_streamed() -> None:
    library = tokenizers.Tokenizer(models.BPE({f"<0x{byte:02X}>": byte for byte in range(256)}, [], byte_fallback=True))
    library.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    tokenizer = Tokenizer(library.to_str(), SpecialTokens({}))
    assert "".join(pieces_of(tokenizer, list("日本".encode()), list("日".encode()))) == "日本"


def test_a_run_of_bytes_that_is_longer_than_what_is_remembered_stays_whole() -> None:
    tokenizer = tokenizer_of(LLAMA)
    text = "The dog sees " * 50 + "日😀" * 100 + " it."
    assert "".join(pieces_of(tokenizer, tokenizer.encode(text).tolist(), [])) == text


@pytest.mark.parametrize("name", [name for name in VOCABULARIES if name != "characters"])
def test_long_texts_stay_exact(name: str) -> None:
    tokenizer = tokenizer_of(name)
    tokens = tokenizer.encode("The naïve 😀 dog sees 日本語. " * 60).tolist()
    assert len(tokens) > 400
    assert "".join(pieces_of(tokenizer, tokens, [])) == tokenizer.decode(tokens)


@pytest.mark.parametrize("name", [name for name in VOCABULARIES if name not in ("bytes", "characters")])
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
