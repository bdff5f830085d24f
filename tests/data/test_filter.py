"""Filters: what stays, why the rest goes, and that batches change neither."""

import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.data.memory import ListConfig
from zoo.config import Source, load_config
from zoo.data import filter as module
from zoo.data.filter import (
    REASONS,
    Filter,
    FilterConfig,
    SeenKeys,
    batches,
    dropped_words,
    filtered,
    filtered_fingerprint,
)
from zoo.errors import ConfigError, DataError

TEXTS = ["fine text", "", " \n", "ab", "fine text", "cafe\u0301", "caf\u00e9", "\ufb01ne text"]


def kept(texts: list[str], **settings: object) -> tuple[list[str], dict[str, int]]:
    result = Filter(FilterConfig(**settings)).keep(texts)
    return result.texts, {reason: count for reason, count in result.dropped.items() if count}


def test_empty_documents_always_go_and_nothing_else_unasked() -> None:
    assert kept(TEXTS) == ([TEXTS[0], *TEXTS[3:]], {"empty": 2})


def test_each_rule_drops_what_it_says() -> None:
    assert kept(TEXTS, minimum_characters=5) == ([TEXTS[0], *TEXTS[4:6], TEXTS[7]], {"empty": 2, "too_short": 2})
    assert kept(TEXTS, deduplicate=True) == ([TEXTS[0], TEXTS[3], *TEXTS[5:]], {"empty": 2, "duplicate": 1})


def test_normalization_comes_first() -> None:
    """It decides what is equal and how long a text is, and it is what stays."""
    texts, dropped = kept(TEXTS, normalization="NFC", deduplicate=True, minimum_characters=3)
    assert texts == ["fine text", "caf\u00e9", "\ufb01ne text"]
    assert dropped == {"empty": 2, "too_short": 1, "duplicate": 2}
    assert kept(TEXTS, normalization="NFKC", deduplicate=True)[0] == ["fine text", "ab", "caf\u00e9"]
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        assert kept(["e\u0301\ufb01\u00e9"], normalization=form)[0] == [
            unicodedata.normalize(form, "e\u0301\ufb01\u00e9")
        ]


@given(st.lists(st.sampled_from(["", "a", "bb", "ccc", "e\u0301", "\u00e9", "dddd"])), st.integers(1, 4))
def test_batches_change_nothing(texts: list[str], size: int) -> None:
    config = FilterConfig(normalization="NFC", minimum_characters=1, deduplicate=True)
    whole = Filter(config).keep(texts)
    at_work = Filter(config)
    parts = [at_work.keep(texts[start : start + size]) for start in range(0, len(texts), size)]
    assert [text for part in parts for text in part.texts] == whole.texts
    assert [number for part in parts for number in part.numbers] == whole.numbers
    assert [int(key) for part in parts for key in part.keys] == whole.keys.tolist()
    assert sum(part.num_read for part in parts) == whole.num_read == len(texts)
    assert whole.num_read == len(whole.texts) + sum(whole.dropped.values())
    for reason in REASONS:
        assert sum(part.dropped[reason] for part in parts) == whole.dropped[reason]


def test_what_stays_has_its_number_its_key_and_its_size() -> None:
    result = Filter(FilterConfig()).keep(["", "abc", "d\u00e9", "abc"])
    assert result.numbers == [1, 2, 3]
    assert result.sizes.tolist() == [3, 3, 3]
    assert result.keys[0] == result.keys[2] != result.keys[1]


def test_half_a_character_is_refused_with_its_place() -> None:
    at_work = Filter(FilterConfig(normalization="NFC"))
    at_work.keep(["a", "b"])
    with pytest.raises(DataError, match=r"document 3 of the corpus .*character 1 is half of a surrogate pair"):
        at_work.keep(["c", "d\ud800"])


@given(st.lists(st.lists(st.integers(0, 40), max_size=12), max_size=30))
def test_seen_keys_are_those_of_a_set(batches: list[list[int]]) -> None:
    seen, plain = SeenKeys(), set()
    for batch in batches:
        expected = []
        for key in batch:
            expected.append(key not in plain)
            plain.add(key)
        assert seen.add(np.array(batch, module.KEY)).tolist() == expected
    assert len(seen) == len(plain)


def test_seen_keys_cost_eight_bytes_each_and_few_searches() -> None:
    seen = SeenKeys()
    draw = np.random.default_rng(0)
    for _ in range(300):
        seen.add(draw.integers(0, 1 << 63, 100, dtype=np.uint64))
    assert sum(run.nbytes for run in seen._runs) == 8 * len(seen)
    assert len(seen._runs) <= np.log2(300) + 1


def test_batches_are_bounded_both_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BATCH_CHARACTERS", 10)
    monkeypatch.setattr(module, "_BATCH_DOCUMENTS", 3)
    texts = ["a" * 12, "b", "c", "d", "e" * 5, "f" * 5, "g"]
    assert list(batches(texts)) == [texts[:1], texts[1:4], texts[4:6], texts[6:]]


def test_a_filter_that_asks_for_nothing_leaves_documents_and_fingerprint_as_they_are() -> None:
    assert list(filtered(FilterConfig(), TEXTS)) == TEXTS
    assert filtered_fingerprint(FilterConfig(), "abc") == "abc"
    source = ListConfig(texts=tuple(TEXTS))
    assert source.kept_fingerprint() == source.fingerprint()
    assert list(source.kept_documents()) == TEXTS


def test_each_setting_of_a_filter_changes_the_fingerprint() -> None:
    configs = [
        {},
        {"normalization": "NFC"},
        {"normalization": "NFKC"},
        {"minimum_characters": 2},
        {"deduplicate": True},
    ]
    sources = [ListConfig(texts=tuple(TEXTS), filter=FilterConfig(**config)) for config in configs]
    assert len({source.kept_fingerprint() for source in sources}) == len(configs)
    assert list(sources[4].kept_documents()) == [TEXTS[0], TEXTS[3], *TEXTS[5:]]


def test_words() -> None:
    assert dropped_words({"empty": 1_200, "too_short": 0, "duplicate": 1, "no_tokens": 0}) == (
        "1,200 empty, 1 equal to an earlier one"
    )


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"normalization": "NFE"}, "normalization: .*'NFE'.*NFC"),
        ({"minimum_characters": 0}, "minimum_characters: .*0"),
        ({"deduplicates": True}, "'deduplicates'; did you mean 'deduplicate'"),
    ],
)
def test_mistakes(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(FilterConfig, [Source("test", settings)])
