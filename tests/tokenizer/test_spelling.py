"""How many bytes of text tokens spell."""

import json

import pytest

from tests.generation.vocabularies import LLAMA, VOCABULARIES, tokenizer_of
from zoo.tokenizer.special_tokens import SpecialTokens
from zoo.tokenizer.spelling import bytes_before, spelled_bytes
from zoo.tokenizer.tokenizer import Tokenizer
from zoo.tokenizer.train import (
    ByteLevelBPEConfig,
    BytesConfig,
    CharactersConfig,
    TokenizerConfig,
    UnigramConfig,
    WordPieceConfig,
)

TEXT = "Größe und Maß: ±½ 日本語, naïve words again and again, words and words. " * 5


@pytest.mark.parametrize("special", ["bert", "gpt", "t5"])
@pytest.mark.parametrize("kind", [BytesConfig, CharactersConfig, ByteLevelBPEConfig])
def test_exact_where_tokens_spell_bytes(kind: type[TokenizerConfig], special: str) -> None:
    sizes = {"vocab_size": 420} if kind is ByteLevelBPEConfig else {}
    tokenizer = kind(special_tokens=special, **sizes).train([TEXT])
    spelled = spelled_bytes(tokenizer)
    assert spelled[tokenizer.encode(TEXT)].sum() == len(TEXT.encode())
    assert not spelled[tokenizer.special_ids].any()


def test_elsewhere_what_can_be_seen_of_the_text() -> None:
    wordpiece = WordPieceConfig(vocab_size=200).train([TEXT])
    without_spaces = len("".join(TEXT.split()).encode())
    assert spelled_bytes(wordpiece)[wordpiece.encode(TEXT)].sum() == without_spaces
    unigram = UnigramConfig(vocab_size=200).train([TEXT])
    assert spelled_bytes(unigram)[unigram.encode(TEXT)].sum() == pytest.approx(len(TEXT.encode()), abs=2)


def test_bytes_of_their_own_spell_one_each() -> None:
    tokenizer = tokenizer_of(LLAMA)
    assert (spelled_bytes(tokenizer)[list(tokenizer.byte_values)] == 1).all()


TOLD = ["The dog  sees 日本 it.", "日本😀", "😀", "\n\nThe", " ïn"]


@pytest.mark.parametrize("text", TOLD)
@pytest.mark.parametrize("name", VOCABULARIES)
def test_bytes_stand_before_one_token_and_the_rest_before_the_next(name: str, text: str) -> None:
    tokenizer = tokenizer_of(name)
    tokens = tokenizer.prompt(text).tolist()
    found = [bytes_before(tokenizer, text, count) for count in range(len(tokens) + 1)]
    assert found == sorted(found)
    assert (found[0], found[-1]) == (0, len(text.encode()))
    for token, before, behind in zip(tokens, found[:-1], found[1:], strict=True):
        if tokenizer.is_byte_level:
            assert behind - before == len(tokenizer.token(token))
        elif token in tokenizer.byte_values:
            assert behind - before == 1


def test_spaces_without_a_token_stand_before_or_behind() -> None:
    bert = tokenizer_of("bert")
    assert [bytes_before(bert, "The   dog", 1, offset) for offset in (0, 3, 5, 6, 9)] == [3, 3, 5, 6, 6]


def test_what_a_file_cuts_off_the_offsets_and_normalization_take_no_bytes_away() -> None:
    ours = tokenizer_of("gpt")
    definition = json.loads(ours.definition)
    definition["post_processor"] = {"type": "ByteLevel", "trim_offsets": True, "add_prefix_space": False}
    definition["normalizer"] = {"type": "NFC"}
    foreign = Tokenizer(json.dumps(definition), SpecialTokens(ours.special.roles))
    text = "The dog, fu\u0308r  it"  # two characters that become one of two bytes
    tokens = foreign.prompt(text).tolist()
    assert foreign.decode(tokens) != text
    last = next(count for count in range(len(tokens)) if foreign.decode(tokens[count:]) == " it")
    assert bytes_before(foreign, text, last) == len(text.encode()) - 3
    assert bytes_before(foreign, text, 1) == 3
    assert foreign.framed("The dog").tolist() == ours.prompt("The dog").tolist()


def test_special_tokens_that_are_written_out_count_as_they_are_written() -> None:
    gpt = tokenizer_of("gpt")
    assert bytes_before(gpt, "<|endoftext|>日", 1) == len("<|endoftext|>")
    assert bytes_before(gpt, "<|endoftext|>日", 2) == len("<|endoftext|>") + 1
