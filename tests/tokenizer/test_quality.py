"""The numbers of a tokenizer on a text, against counts by hand."""

import pytest

from zoo.errors import DataError
from zoo.tokenizer.quality import measure
from zoo.tokenizer.train import ByteLevelBPEConfig, BytesConfig, CharactersConfig, WordPieceConfig


def test_bytes_by_hand() -> None:
    found = measure(BytesConfig().train(), ["ab é", "c"])
    assert (found.texts, found.bytes, found.characters, found.words, found.tokens) == (2, 6, 5, 3, 6)
    assert found.fertility == 2
    assert found.continued == 1  # each word has its space
    assert found.bytes_per_token == 1
    assert found.characters_per_token == pytest.approx(5 / 6)
    assert found.used == pytest.approx(6 / 257)
    assert (found.unknown, found.coverage, found.came_back, found.nearly) == (0, 1, 1, 1)
    assert found.difference is None


def test_what_is_lost() -> None:
    found = measure(CharactersConfig(special_tokens="bert").train(["abc "]), ["abc é", "cab"])
    assert found.unknown == pytest.approx(1 / 8)
    assert found.coverage == pytest.approx(1 - 1 / 8)
    assert (found.came_back, found.nearly) == (0.5, 0.5)
    assert found.difference is not None
    assert found.difference.text == "abc é"
    assert found.difference.decoded == "abc [UNK]"


def test_white_space_and_case_are_told_apart_from_loss() -> None:
    tokenizer = WordPieceConfig(vocab_size=100, lowercase=True).train(["two words here"] * 9)
    found = measure(tokenizer, ["Two  words", "words here"])
    assert (found.came_back, found.nearly) == (0.5, 1)
    assert found.fertility == 1
    assert found.continued == 0


def test_a_larger_vocabulary_is_less_fertile() -> None:
    text = ["the theme of the thesis is there, then", "the lazy dog jumps over the quick brown fox"] * 9
    small, large = (measure(ByteLevelBPEConfig(vocab_size=size).train(text), text) for size in (260, 320))
    assert large.fertility < small.fertility
    assert large.continued < small.continued
    assert large.bytes_per_token > small.bytes_per_token


def test_nothing_to_measure() -> None:
    with pytest.raises(DataError, match="no word"):
        measure(BytesConfig().train(), ["  ", ""])
