"""Every kind of tokenizer: sizes, ids of special tokens, what comes back, and the same file in every process."""

import dataclasses
import hashlib
import json
import os
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoo.config import build, to_mapping
from zoo.errors import ConfigError, DataError
from zoo.tokenizer.tokenizer import Tokenizer
from zoo.tokenizer.train import (
    ByteLevelBPEConfig,
    BytesConfig,
    CharactersConfig,
    FileConfig,
    TokenizerConfig,
    UnigramConfig,
    WordPieceConfig,
)

TEXTS = ["The quick brown fox jumps over the lazy dog. ", "Pack my box with five dozen liquor jugs!\n", "café 你好"] * 9
LOSSLESS = [
    ByteLevelBPEConfig(vocab_size=400),
    ByteLevelBPEConfig(vocab_size=500, special_tokens="t5"),
    ByteLevelBPEConfig(vocab_size=400, words="gpt4", single_digits=True),
    BytesConfig(),
]
SMALL = [
    *LOSSLESS,
    WordPieceConfig(vocab_size=200),
    WordPieceConfig(vocab_size=300, special_tokens="t5", lowercase=True),
    WordPieceConfig(vocab_size=300, normalization="NFKC", single_digits=True),
    WordPieceConfig(vocab_size=300, normalization="NFKD", lowercase=True),
    UnigramConfig(vocab_size=300),
    UnigramConfig(vocab_size=200, special_tokens="bert"),
    UnigramConfig(vocab_size=500, byte_fallback=True, single_digits=True),
    UnigramConfig(vocab_size=300, normalization="NFD", words="letters"),
    CharactersConfig(),
    CharactersConfig(special_tokens="t5"),
    CharactersConfig(normalization="NFKC"),
    BytesConfig(special_tokens="bert"),
]


def name(config: TokenizerConfig) -> str:
    return f"{config.kind}-{getattr(config, 'special_tokens', '')}"


@pytest.mark.parametrize("config", SMALL, ids=name)
def test_special_tokens_have_their_places(config, tmp_path: Path) -> None:
    tokenizer = config.train(TEXTS)
    if config.special_tokens == "bert":
        assert tokenizer.roles == {"padding": 0, "unknown": 1, "classify": 2, "separate": 3, "mask": 4}
        assert [tokenizer.token(id) for id in range(5)] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    elif config.special_tokens == "gpt":
        assert tokenizer.roles == {"padding": 0, "begin": 0, "end": 0}
    else:
        assert tokenizer.roles == {"padding": 0, "end": 1, "unknown": 2}
        assert tokenizer.sentinels == tuple(range(tokenizer.vocab_size - 1, tokenizer.vocab_size - 101, -1))
        assert tokenizer.token(tokenizer.vocab_size - 1) == "<extra_id_0>"
    assert tokenizer.special_ids.tolist() == sorted({*tokenizer.roles.values(), *tokenizer.sentinels})
    assert tokenizer.vocab_size <= getattr(config, "vocab_size", 10**6)


@pytest.mark.parametrize("config", SMALL, ids=name)
def test_text_never_becomes_a_special_token_unless_it_prompts(config) -> None:
    tokenizer = config.train([*TEXTS, "<>[]|/_0123456789" * 5])
    spelt = [tokenizer.token(id) for id in tokenizer.special_ids]
    unknown = {tokenizer.roles.get("unknown")}
    for token in spelt:
        assert not set(tokenizer.encode(f"a {token} b{token}").tolist()) & (
            set(tokenizer.special_ids.tolist()) - unknown
        )
        prompted = tokenizer.prompt(f"the{token}dog").tolist()
        assert tokenizer.special_ids[spelt.index(token)] in prompted


@pytest.mark.parametrize("config", LOSSLESS, ids=name)
def test_any_text_comes_back_exactly(config) -> None:
    tokenizer = config.train(TEXTS)

    @given(st.text(max_size=80))
    def check(text: str) -> None:
        assert tokenizer.decode(tokenizer.encode(text)) == text

    check()
    for text in (
        "",
        "\r\n\t \x00",
        " <|endoftext|> [MASK]</s><extra_id_0>",
        "\ufeff\U0001d518nicode\u0301 ",
        "  leading",
    ):
        assert tokenizer.decode(tokenizer.encode(text)) == text


def test_unigram_and_characters_bring_seen_text_back() -> None:
    for config in (UnigramConfig(vocab_size=300, character_coverage=1.0), CharactersConfig()):
        tokenizer = config.train(TEXTS)
        assert [tokenizer.decode(tokenizer.encode(text)) for text in TEXTS] == TEXTS


LEARNT = [
    ByteLevelBPEConfig(vocab_size=400),
    WordPieceConfig(vocab_size=300),
    UnigramConfig(vocab_size=300),
    CharactersConfig(),
]
"""One of each kind that learns from text."""


def test_each_kind_that_learns_has_the_same_choices() -> None:
    learnt = [choice for choice in TokenizerConfig.choices.values() if choice.learns]
    assert {choice.kind for choice in learnt} == {config.kind for config in LEARNT}
    for choice in learnt:
        names = {field.name for field in dataclasses.fields(choice)}
        assert "normalization" in names
        assert ("single_digits" in names) == ("vocab_size" in names), "characters cut all digits apart"


@pytest.mark.parametrize("config", LEARNT, ids=name)
def test_a_choice_that_is_not_made_leaves_the_definition_alone(config) -> None:
    definition = json.loads(config.train(TEXTS).definition)
    normalizer, cut = definition["normalizer"], definition["pre_tokenizer"]
    expected = {"wordpiece": "BertNormalizer"}.get(config.kind)
    assert (normalizer and normalizer["type"]) == expected
    assert "Digits" not in json.dumps(cut)


@pytest.mark.parametrize("config", LEARNT, ids=name)
def test_normalization_is_that_of_unicode(config) -> None:
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        tokenizer = dataclasses.replace(config, normalization=form, **COVERED.get(config.kind, {})).train(
            [*TEXTS, "ﬁne cafe\u0301 " * 9, "fine café cafe\u0301 " * 9]
        )
        text = "ﬁne cafe\u0301 café"
        assert tokenizer.decode(tokenizer.encode(text)) == unicodedata.normalize(form, text)


COVERED = {"unigram": {"character_coverage": 1.0}, "wordpiece": {"character_coverage": 1.0}}


def test_wordpiece_lower_cases_what_the_form_made_plain() -> None:
    wide = "\N{FULLWIDTH LATIN CAPITAL LETTER A}"
    texts = [f"{wide}{wide} ﬁne Über " * 20]
    plain = WordPieceConfig(vocab_size=300, lowercase=True, normalization="NFKC").train(texts)
    assert plain.decode(plain.encode(f"{wide}{wide} ﬁne Über")) == "aa fine uber"
    for form in ("NFC", "NFD"):  # accents are stripped whichever way they were written
        with pytest.raises(ConfigError, match=rf"normalization: {form} has no effect with lowercase=true"):
            WordPieceConfig(lowercase=True, normalization=form)


def test_unigram_keeps_letters_and_digits_apart_where_asked() -> None:
    text = "model x86 and mp3 of 1984 " * 50
    together = UnigramConfig(vocab_size=200).train([text])
    apart = UnigramConfig(vocab_size=200, words="letters").train([text])
    assert pieces_of(together, "x86 mp3")[-1] == "mp3"
    assert [one for one in pieces_of(apart, "x86 mp3") if one] == ["x", "86", "mp", "3"]
    assert pieces_of(apart, "of 1984")[-1] == "1984", "digits stay together"
    with pytest.raises(ConfigError, match="words: letters has no effect with single_digits=true"):
        UnigramConfig(words="letters", single_digits=True)


def pieces_of(tokenizer: Tokenizer, text: str) -> list[str]:
    return [tokenizer.decode([id]) for id in tokenizer.encode(text)]


def test_numbers_are_cut_as_asked() -> None:
    text = "the year 1984 and 1984 again " * 50
    assert " 1984" in pieces_of(ByteLevelBPEConfig(vocab_size=400).train([text]), "the 1984")
    assert pieces_of(ByteLevelBPEConfig(vocab_size=400, words="gpt4").train([text]), "1984") == ["198", "4"]
    for config in (
        ByteLevelBPEConfig(vocab_size=400, single_digits=True),
        WordPieceConfig(vocab_size=200, single_digits=True),
        UnigramConfig(vocab_size=200, single_digits=True),
    ):
        assert [one for one in pieces_of(config.train([text]), "1984") if one] == ["1", "9", "8", "4"]


def test_single_digits_come_back_apart_from_wordpiece_alone() -> None:
    text = "the year 1984 and 1984 again " * 50
    for config, expected in (
        (ByteLevelBPEConfig(vocab_size=400, single_digits=True), "1984"),
        (UnigramConfig(vocab_size=200, single_digits=True), "1984"),
        (WordPieceConfig(vocab_size=200, single_digits=True), "1 9 8 4"),
        (WordPieceConfig(vocab_size=200), "1984"),
    ):
        tokenizer = config.train([text])
        assert tokenizer.decode(tokenizer.encode("1984")) == expected


def test_characters_without_a_piece_are_spelt_in_bytes() -> None:
    tokenizer = UnigramConfig(vocab_size=500, byte_fallback=True).train(TEXTS)
    text = "the 🙂 dog <0x41> ж"
    ids = tokenizer.encode(text)
    assert tokenizer.roles["unknown"] not in ids
    assert tokenizer.decode(ids) == text
    assert [tokenizer.token(3), tokenizer.token(258)] == ["<0x00>", "<0xFF>"]
    assert 3 + 0x41 not in ids  # what looks like a byte in a text is text
    with pytest.raises(ConfigError, match="bytes"):
        UnigramConfig(vocab_size=300, byte_fallback=True)


def test_wordpiece_is_longest_match_first() -> None:
    tokenizer = WordPieceConfig(vocab_size=300).train(["unaffable affable unable able un aff"] * 20)
    tokens = [tokenizer.token(id) for id in tokenizer.encode("unable xyz")]
    assert tokens == ["unable", "[UNK]"]
    lower = WordPieceConfig(vocab_size=300, lowercase=True).train(["Über Unable"] * 20)
    assert lower.encode("UBER unable").tolist() == lower.encode("über Unable").tolist()


def test_characters_of_tinyshakespeare_are_the_65_of_nanogpt(shared_data: Path) -> None:
    text = (shared_data / "tinyshakespeare" / "input.txt").read_text()
    tokenizer = CharactersConfig().train([text])
    assert tokenizer.vocab_size == 65 + 1
    alphabet = sorted(set(text))
    assert (tokenizer.encode(text[:5000]) - 1).tolist() == [alphabet.index(one) for one in text[:5000]]
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_an_unseen_character_is_unknown_or_named() -> None:
    assert CharactersConfig(special_tokens="bert").train(["abc"]).encode("aéb").tolist() == [5, 1, 6]
    with pytest.raises(DataError, match=r"'é' \(U\+00E9\)"):
        CharactersConfig().train(["abc"]).encode("aéb")


@pytest.mark.parametrize("config", LEARNT, ids=name)
def test_long_text_in_pieces_is_normalized_as_the_whole(config) -> None:
    """No cut parts a letter from the accent that joins it."""
    accented = "cafe\u0301 de\u0301ja\u0300 " * 200
    tokenizer = dataclasses.replace(config, normalization="NFC", **COVERED.get(config.kind, {})).train([accented])
    whole = tokenizer.encode(accented).tolist()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("zoo.tokenizer.pieces.PIECE_CHARACTERS", 7)
        assert tokenizer.encode(accented).tolist() == whole


@pytest.mark.parametrize("config", SMALL, ids=name)
def test_no_text_is_an_error(config) -> None:
    if config.learns:
        with pytest.raises(DataError, match="no text to train"):
            config.train(["", ""])
    else:
        assert config.train([]).vocab_size > 256


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"kind": "byte_level_bpe", "vocab_size": 300, "special_tokens": "t5"}, "vocab_size: 300 .* at least 359"),
        ({"kind": "unigram", "vocab_size": 100}, "vocab_size: 100 .* at least 104"),
        ({"kind": "wordpiece", "special_tokens": "gpt"}, "special_tokens: gpt has no token for the unknown"),
        ({"kind": "characters", "vocab_size": 65}, "vocab_size: unknown .*legal: kind, normalization, special_tokens"),
        ({"kind": "wordpeice"}, "did you mean 'wordpiece'"),
        ({"kind": "file"}, "path: is required"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(TokenizerConfig, settings)


@pytest.mark.parametrize("config", [WordPieceConfig(vocab_size=30), UnigramConfig(vocab_size=110)], ids=name)
def test_a_vocabulary_too_small_for_the_characters_says_how_large(config) -> None:
    with pytest.raises(ConfigError, match=r"vocab_size: .* is too small: .* need at least"):
        config.train(TEXTS)


def test_errors_of_the_corpus_pass_through_the_library() -> None:
    def texts():
        yield "fine"
        raise DataError("line 7 is no JSON")

    for config in SMALL:
        if config.learns:
            with pytest.raises(DataError, match="line 7 is no JSON"):
                config.train(texts())


def test_progress_counts_all_characters() -> None:
    for config in SMALL:
        seen: list[int] = []
        config.train(TEXTS, seen.append)
        assert sum(seen) == (sum(map(len, TEXTS)) if config.learns else 0)


def test_the_sample_bounds_what_is_learnt_from() -> None:
    short = ByteLevelBPEConfig(vocab_size=400, training_characters=len(TEXTS[0]), min_frequency=1)
    assert short.train(TEXTS).fingerprint == short.train(TEXTS[:1]).fingerprint


def test_a_file_is_a_tokenizer_too(tmp_path: Path) -> None:
    tokenizer = WordPieceConfig(vocab_size=200).train(TEXTS)
    tokenizer.save(tmp_path)
    config = FileConfig(path=str(tmp_path))
    assert config.train(()).fingerprint == tokenizer.fingerprint
    assert build(TokenizerConfig, to_mapping(config)) == config


def digests(folder: Path) -> str:
    total = hashlib.sha256()
    for config in SMALL:
        config.train(TEXTS).save(folder)
        for file in sorted(folder.iterdir()):
            total.update(file.read_bytes())
    return total.hexdigest()


def test_the_same_bytes_in_every_process(tmp_path: Path) -> None:
    here = digests(tmp_path)
    code = "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[1]); import test_train as t\n"
    code += "print(t.digests(Path(sys.argv[2])))"
    for hash_seed, parallel in (("1", "true"), ("2", "false")):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "TOKENIZERS_PARALLELISM": parallel}
        arguments = [sys.executable, "-c", code, str(Path(__file__).parent), str(tmp_path)]
        there = subprocess.run(arguments, env=environment, check=True, capture_output=True, text=True)
        assert there.stdout.strip() == here
    assert Tokenizer.load(tmp_path).fingerprint == SMALL[-1].train(TEXTS).fingerprint
