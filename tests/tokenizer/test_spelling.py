"""How many bytes of text tokens spell."""

import pytest

from zoo.tokenizer.spelling import spelled_bytes
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
