"""Batches of documents to tokens: what is in them, and which document a message names."""

import numpy as np
import pytest

from zoo.data.encoding import Encoder, token_dtype
from zoo.data.sentences import sentence_starts
from zoo.errors import DataError
from zoo.tokenizer.train import BytesConfig, CharactersConfig

TOKENIZER = BytesConfig().train()


@pytest.mark.parametrize("size, dtype", [(1, "u2"), (65_535, "u2"), (65_536, "u2"), (65_537, "u4"), (1 << 32, "u4")])
def test_the_dtype_holds_the_largest_id_and_no_more(size: int, dtype: str) -> None:
    assert token_dtype(size) == np.dtype(dtype)
    assert np.iinfo(token_dtype(size)).max >= size - 1


def test_a_vocabulary_beyond_32_bits_is_refused() -> None:
    with pytest.raises(DataError, match="4294967297"):
        token_dtype((1 << 32) + 1)


def test_batches_one_by_one_make_the_tokens_of_all_together() -> None:
    texts = ["One two. Three four!  Five?", "Six seven", "Nine. Ten."]
    encoder = Encoder(TOKENIZER, sentences=True)
    whole = encoder.encode(texts, [0, 1, 2])
    parts = [encoder.encode([text], [number]) for number, text in enumerate(texts)]
    assert whole.tokens.tolist() == np.concatenate([part.tokens for part in parts]).tolist()
    assert whole.lengths.tolist() == [len(part.tokens) for part in parts] == [len(text) for text in texts]
    offsets = np.cumsum([0, *whole.lengths[:-1]])
    expected = [offset + start for offset, text in zip(offsets, texts, strict=True) for start in sentence_starts(text)]
    assert whole.sentences.tolist() == expected
    assert Encoder(TOKENIZER, sentences=False).encode(texts, [0, 1, 2]).sentences.tolist() == []


@pytest.mark.parametrize("sentences", [False, True])
def test_no_documents_have_no_tokens(sentences: bool) -> None:
    tokens, lengths, starts = Encoder(TOKENIZER, sentences).encode([], [])
    assert (len(tokens), len(lengths), len(starts)) == (0, 0, 0)
    assert tokens.dtype == np.uint16


def test_the_document_at_fault_is_named_by_its_number_in_the_source() -> None:
    encoder = Encoder(CharactersConfig().train(["abc"]), sentences=False)
    with pytest.raises(DataError, match=r"document 17 of the corpus .* no id for the character 'é'"):
        encoder.encode(["a", "é"], [3, 17])
