"""The Unigram trainer: Viterbi by hand, every character kept, at least as compact as the library's own."""

import math
from pathlib import Path

import pytest
import tokenizers
from tokenizers import models, trainers

from zoo.errors import ConfigError
from zoo.tokenizer import unigram
from zoo.tokenizer.counting import count_words
from zoo.tokenizer.unigram import UnigramDesign, train_unigram

FRONT = ["<pad>", "</s>", "<unk>"]


def test_the_best_segmentation_without_the_piece_itself() -> None:
    logs = {"a": -3.0, "b": -2.0, "ab": -1.0, "ba": -1.5, "aba": -0.1}
    assert unigram._without("aba", logs) == pytest.approx(max(-1.0 - 3.0, -3.0 - 1.5))
    assert unigram._without("ac", logs) == -math.inf


def test_the_likelier_segmentation_wins_and_probabilities_add_up() -> None:
    counted = count_words(["low lower lowest new newer newest wide wider widest " * 50])
    tokenizer = train_unigram(counted, UnigramDesign(FRONT, "<unk>", 40, 1.0))
    assert 30 < tokenizer.get_vocab_size() <= 40
    assert [tokenizer.id_to_token(id) for id in range(3)] == FRONT
    assert tokenizer.encode("lowest").tokens in (["▁lowest"], ["▁low", "est"])
    assert tokenizer.decode(tokenizer.encode("widest low").ids) == "widest low"


def test_too_small_says_how_large() -> None:
    with pytest.raises(
        ConfigError, match="vocab_size: 5 is too small: 3 special tokens and 4 characters need at least 7"
    ):
        train_unigram({" abc": 1}, UnigramDesign(FRONT, "<unk>", 5, 1.0))
    said = r"300 is too small: 103 special tokens, 256 bytes \(byte_fallback\) and 4 characters need at least 363"
    with pytest.raises(ConfigError, match=said):
        train_unigram({" abc": 1}, UnigramDesign(FRONT, "<unk>", 300, 1.0, byte_fallback=True, behind=100))


def test_at_least_as_compact_as_the_library(shared_data: Path) -> None:
    text = (shared_data / "tinyshakespeare" / "input.txt").read_text()[:200_000]
    ours = train_unigram(count_words([text]), UnigramDesign(FRONT, "<unk>", 2_000, 1.0))
    theirs = tokenizers.Tokenizer(models.Unigram())
    theirs.pre_tokenizer = unigram._pre_tokenizer("alphanumeric", single_digits=False)
    trainer = trainers.UnigramTrainer(vocab_size=2_000, special_tokens=FRONT, unk_token="<unk>", show_progress=False)
    theirs.train_from_iterator([text], trainer)
    assert len(ours.encode(text).ids) < 1.01 * len(theirs.encode(text).ids)
