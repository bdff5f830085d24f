"""Many texts at once have the ids, and the places of sentences, that each has alone."""

import numpy as np
import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import models, pre_tokenizers

from zoo.errors import DataError
from zoo.tokenizer import joining as module
from zoo.tokenizer.special_tokens import SpecialTokens
from zoo.tokenizer.tokenizer import Tokenizer
from zoo.tokenizer.train import ByteLevelBPEConfig, BytesConfig, CharactersConfig, UnigramConfig, WordPieceConfig

TRAINING = "The cat sat,\n\n  on   the\u00a0mat. It's 42 degrees! caf\u00e9s don't \r\n count \u4f60\u597d. "
AWKWARD = st.text(alphabet=st.sampled_from(" \n\t\u00a0ab'.\u00e9\u03011\u4f60\u2581"), max_size=20)
CONFIGS = [
    ByteLevelBPEConfig(vocab_size=320, normalization="NFC"),
    ByteLevelBPEConfig(vocab_size=320, words="gpt4", single_digits=True),
    WordPieceConfig(vocab_size=200),
    WordPieceConfig(vocab_size=200, lowercase=True, normalization="NFKD"),
    UnigramConfig(vocab_size=200),
    UnigramConfig(vocab_size=400, byte_fallback=True, normalization="NFKC"),
    CharactersConfig(special_tokens="bert"),
    CharactersConfig(special_tokens="t5", normalization="NFC"),
    BytesConfig(),
]


@st.composite
def marked_texts(draw: st.DrawFn) -> tuple[str, list[int]]:
    """An awkward text and some places in it."""
    text = draw(AWKWARD)
    return text, sorted(draw(st.sets(st.integers(0, max(0, len(text) - 1)), max_size=4))) if text else []


def alone(tokenizer: Tokenizer, text: str, offsets: list[int]) -> tuple[list[int], list[int]]:
    """The ids of a text as the library has them, and for each offset the first token that reaches beyond it."""
    whole = tokenizer._library.encode(text, add_special_tokens=False)
    return whole.ids, [sum(end <= offset for _, end in whole.offsets) for offset in offsets]


def check(tokenizer: Tokenizer, marked: list[tuple[str, list[int]]]) -> None:
    """What texts have together is what each has alone."""
    texts = [text for text, _ in marked]
    ids, lengths, starts = tokenizer.encode_flat(texts, [offsets for _, offsets in marked])
    expected = [alone(tokenizer, *one) for one in marked]
    begins = np.cumsum([0, *(len(mine) for mine, _ in expected)])
    assert ids.tolist() == [id for mine, _ in expected for id in mine]
    assert lengths.tolist() == np.diff(begins).tolist()
    assert starts.tolist() == [
        begin + place for begin, (_, places) in zip(begins, expected, strict=False) for place in places
    ]
    flat = tokenizer.encode_flat(texts)
    assert (flat.ids.tolist(), flat.lengths.tolist(), flat.starts.tolist()) == (ids.tolist(), lengths.tolist(), [])


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.kind)
def test_texts_together_are_as_each_alone(config) -> None:
    tokenizer = config.train([TRAINING * 3])

    @given(st.lists(marked_texts(), max_size=6), st.sampled_from([1, 8, 1 << 14]))
    def together(marked: list[tuple[str, list[int]]], size: int) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "_STRING_CHARACTERS", size)
            check(tokenizer, marked)

    together()


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.kind)
def test_a_text_may_hold_the_separator_or_spell_a_special_token(config) -> None:
    tokenizer = config.train([TRAINING * 3, module._SEPARATOR])
    texts = ["a b.", f"a{module._SEPARATOR}b", module._SEPARATOR, "", "[MASK] a. </s> <|endoftext|>"]
    check(tokenizer, [(text, [0] if text else []) for text in texts])
    check(tokenizer, [(text, [0] if text else []) for text in texts if module._SEPARATOR not in text])


def test_texts_are_joined_with_one_separator_each() -> None:
    assert list(module._joined(["a" * 20_000, "", "b", "c"])) == [
        "a" * 20_000 + module._SEPARATOR,
        module._SEPARATOR.join(["", "b", "c", ""]),
    ]
    assert list(module._joined([])) == []


def test_nothing_is_joined_where_a_text_cannot_be_cut_for_certain() -> None:
    """A foreign tokenizer may begin a text in a way of its own: here with a mark on the first word only."""
    library = tokenizers.Tokenizer(models.WordLevel({"\u2581a": 0, "a": 1, "?": 2}, unk_token="?"))
    library.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=True)
    tokenizer = Tokenizer(library.to_str(), SpecialTokens({}))
    assert tokenizer.encode_flat(["a", "a", " a a"]).ids.tolist() == [0, 0, 0, 0]
    check(tokenizer, [("a", [0]), ("a a", [0, 2]), ("", [])])
    assert "_with_separator" not in vars(tokenizer._encoder)


def test_groups_change_nothing_and_bound_what_the_library_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = ByteLevelBPEConfig(vocab_size=300).train([TRAINING])
    sentence = "Four five six seven. "
    texts = ["", sentence * 20_000, "Six", sentence * 5]
    starts = [list(range(0, len(text), len(sentence))) for text in texts]
    plain, marked = tokenizer.encode_flat(texts), tokenizer.encode_flat(texts, starts)
    assert np.array_equal(plain.ids, marked.ids)
    monkeypatch.setattr(module, "_GROUP_CHARACTERS", 100_000)
    calls = []
    guarded = module.guarded
    monkeypatch.setattr(module, "guarded", lambda *arguments: calls.append(arguments) or guarded(*arguments))
    for before, after in zip(plain, tokenizer.encode_flat(texts), strict=True):
        assert np.array_equal(before, after)
    assert len(calls) == 4  # of 420,000 characters
    for before, after in zip(marked, tokenizer.encode_flat(texts, starts), strict=True):
        assert np.array_equal(before, after)


def test_no_texts_and_one_that_cannot_be_encoded() -> None:
    tokenizer = BytesConfig().train()
    assert [len(part) for part in tokenizer.encode_flat([], [])] == [0, 0, 0]
    with pytest.raises(DataError, match="no valid Unicode"):
        tokenizer.encode_flat(["a", "a\ud800b"])
    with pytest.raises(ValueError, match="zip"):
        tokenizer.encode_flat(["a", "b"], [[0]])
