"""The held-out split: disjoint, complete, fixed, and the same whatever the tokenizer."""

from pathlib import Path

import numpy as np
import pytest

from tests.data.memory import ListConfig
from zoo.data.split import Documents, counted, held_out_words, split
from zoo.data.store import TokenStore, build_store
from zoo.errors import ConfigError, DataError
from zoo.tokenizer.spelling import spelled_bytes
from zoo.tokenizer.train import ByteLevelBPEConfig, BytesConfig, CharactersConfig, TokenizerConfig, WordPieceConfig

TEXTS = tuple(f"Document {number}. It has {'many ' * (number % 7)}words." for number in range(200))


def store_of(folder: Path, texts: tuple[str, ...] = TEXTS, characters: bool = False) -> TokenStore:
    tokenizer = (CharactersConfig() if characters else BytesConfig()).train(texts)
    return build_store(ListConfig(texts=texts), tokenizer, folder, sentences=True)


def texts_of(side: Documents) -> list[str]:
    tokenizer = BytesConfig().train()
    return [tokenizer.decode(side.tokens[start:stop]) for start, stop in zip(side.starts, side.stops, strict=True)]


def test_by_document_disjoint_complete_and_of_the_right_size(tmp_path: Path) -> None:
    training, validation = split(store_of(tmp_path), 0.1)
    assert len(validation.starts) == 20
    assert sorted(texts_of(training) + texts_of(validation)) == sorted(TEXTS)
    for side in (training, validation):
        assert np.all(np.diff(side.starts) > 0)
        assert side.sentences is not None
        second = [start + text.index("It") for start, text in zip(side.starts, texts_of(side), strict=True)]
        assert side.sentences.tolist() == sorted([*side.starts, *second])
    assert training.fingerprint != validation.fingerprint


def test_a_document_keeps_its_side_when_others_come_or_the_tokenizer_changes(tmp_path: Path) -> None:
    held = set(texts_of(split(store_of(tmp_path), 0.1)[1]))
    others = ("one more", *reversed(TEXTS))
    more = set(texts_of(split(store_of(tmp_path, others), 0.1)[1]))
    assert len(held - more) <= 1
    characters = split(store_of(tmp_path, characters=True), 0.1)[1]
    assert np.array_equal(characters.starts, split(store_of(tmp_path), 0.1)[1].starts)
    assert held < set(texts_of(split(store_of(tmp_path), 0.3)[1]))


def test_equal_documents_are_on_the_same_side(tmp_path: Path) -> None:
    training, validation = split(store_of(tmp_path, TEXTS[:40] * 3), 0.1)
    assert not set(texts_of(training)) & set(texts_of(validation))
    same = split(store_of(tmp_path, ("the same text",) * 50), 0.1)
    assert [len(side.starts) for side in same] == [45, 5]


@pytest.mark.parametrize("count", [1, 2, 19])
def test_few_documents_are_cut_by_position(tmp_path: Path, count: int) -> None:
    store = store_of(tmp_path, TEXTS[:count])
    training, validation = split(store, 0.1)
    cut = int(store.num_tokens * (1 - 0.1))
    assert (training.stops[-1], validation.starts[0], validation.stops[-1]) == (cut, cut, store.num_tokens)
    assert (training.stops - training.starts).sum() == cut
    assert (validation.stops - validation.starts).sum() == store.num_tokens - cut
    assert training.sentences is not None
    assert validation.sentences is not None
    assert training.sentences.max() < cut <= validation.sentences.min() == cut


def test_what_validates_in_words(tmp_path: Path) -> None:
    many, few, one = TEXTS, TEXTS[:5], ("a word " * 100,)
    words = [
        held_out_words(*split(store_of(tmp_path / str(n), texts), 0.05)) for n, texts in enumerate((many, few, one))
    ]
    assert words == [
        "10 documents held out",
        "the last 5.1 % of the text held out",
        "its last 5 % held out",
    ]
    assert held_out_words(*split(store_of(tmp_path / "0"), 0)) == "nothing held out"
    assert [counted(n, "row") for n in (0, 1, 2554)] == ["0 rows", "1 row", "2,554 rows"]


def test_a_fraction_of_zero_holds_out_nothing(tmp_path: Path) -> None:
    training, validation = split(store_of(tmp_path), 0.0)
    assert (len(training.starts), len(validation.starts)) == (200, 0)
    assert validation.sentences is not None
    assert len(validation.sentences) == 0


def test_what_cannot_be_split_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"only 1 tokens: too few to hold out a share of 0.1"):
        split(store_of(tmp_path, ("a",)), 0.1)
    for fraction in (-0.1, 1.0, float("nan")):
        with pytest.raises(ConfigError, match="validation_fraction"):
            split(store_of(tmp_path), fraction)


UNEVEN = "aaaa aaaa aaaa " * 40 + "Größe ±½ naïve — 日本語テキスト " * 20
"""A text that has more bytes a token at its end."""


def test_bytes_of_whole_documents_are_those_of_the_text(tmp_path: Path) -> None:
    """Whatever the tokenizer makes of it: WordPiece drops white space and here accents too."""
    texts = tuple(f"  Nàïve   text   {number}  " for number in range(60))
    tokenizer = WordPieceConfig(lowercase=True).train(texts)
    store = build_store(ListConfig(texts=texts), tokenizer, tmp_path)
    for side in split(store, 0.2, spelled_bytes(tokenizer)):
        numbers = np.searchsorted(store.documents, side.starts)
        assert side.num_bytes == sum(len(texts[number].encode()) for number in numbers)
        assert side.bytes_per_token == side.num_bytes / (side.stops - side.starts).sum()


@pytest.mark.parametrize("texts", [(UNEVEN,), (UNEVEN, "b", UNEVEN[::-1])], ids=len)
@pytest.mark.parametrize("config", [BytesConfig(), CharactersConfig(), ByteLevelBPEConfig(vocab_size=300)])
def test_bytes_of_a_cut_document_are_exact_where_tokens_spell_bytes(
    config: TokenizerConfig, texts: tuple[str, ...], tmp_path: Path
) -> None:
    tokenizer = config.train(texts)
    store = build_store(ListConfig(texts=texts), tokenizer, tmp_path)
    sides = split(store, 0.3, spelled_bytes(tokenizer))
    spelled = spelled_bytes(tokenizer)
    for side in sides:
        parts = [side.tokens[start:stop] for start, stop in zip(side.starts, side.stops, strict=True)]
        assert side.num_bytes == pytest.approx(sum(int(spelled[part].sum()) for part in parts))
    assert sum(side.num_bytes for side in sides) == pytest.approx(sum(len(text.encode()) for text in texts))


def test_bytes_of_a_cut_document_add_up_whatever_the_tokenizer(tmp_path: Path) -> None:
    tokenizer = WordPieceConfig().train([UNEVEN])
    store = build_store(ListConfig(texts=(UNEVEN,)), tokenizer, tmp_path)
    for spelled in (None, spelled_bytes(tokenizer)):
        training, validation = split(store, 0.3, spelled)
        assert training.num_bytes + validation.num_bytes == pytest.approx(len(UNEVEN.encode()))
        assert validation.num_bytes > 0
