"""What the text of a run is like."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from tests.training.tiny import tiny_run
from zoo.data.blend import Blend, Portion
from zoo.data.corpus import Corpus, load_corpus
from zoo.data.split import Documents
from zoo.report import text as text_module
from zoo.report.text import EXCERPT, cross_entropy, piece, text_facts, to_json


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    config = tiny_run(tmp_path_factory.mktemp("text"), "gpt")
    return load_corpus(config.data, config.tokenizer, progress=False)


def of_side(side) -> np.ndarray:
    return np.concatenate([side.tokens[start:stop] for start, stop in zip(side.starts, side.stops, strict=True)])


def test_facts_are_those_of_the_tokens(corpus: Corpus) -> None:
    facts = text_facts(corpus)
    tokens, held_out = of_side(corpus.training), of_side(corpus.validation)
    assert facts["training"]["tokens"] == len(tokens) == facts["counted_tokens"]
    assert facts["held_out"]["tokens"] == len(held_out)
    assert facts["training"]["documents"] == len(corpus.training.starts)
    assert facts["used"] == len(np.unique(tokens))
    shares = np.unique(tokens, return_counts=True)[1] / len(tokens)
    assert facts["entropy"] == pytest.approx(-(shares * np.log(shares)).sum())
    assert facts["unseen_share"] == pytest.approx(np.isin(held_out, tokens, invert=True).mean())
    assert facts["frequent"][0][1] == pytest.approx(shares.max())
    assert facts["training"]["lengths"][0] <= facts["training"]["lengths"][4]
    assert json.loads(to_json(facts)) == facts


def test_what_was_read_and_dropped_is_kept(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("one and the same\n\n" * 3 + "\n\n".join(map(str, range(10**5, 10**5 + 40))))
    settings = ("kind=text", f"path={tmp_path / 'text.txt'}", "filter.deduplicate=true", "filter.minimum_characters=5")
    config = tiny_run(tmp_path, "gpt", *(f"data.source.{one}" for one in settings))
    corpus = load_corpus(config.data, config.tokenizer, progress=False)
    read = text_facts(corpus)["read"][""]
    assert (read["documents"], read["kept"], read["dropped"]["duplicate"]) == (43, 41, 2)


def test_counting_stops_at_the_limit(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_module, "MOST_TOKENS", 100)
    assert text_facts(corpus)["counted_tokens"] == 100


def test_nothing_held_out(tmp_path: Path) -> None:
    config = tiny_run(tmp_path, "gpt", "data.validation_fraction=0")
    facts = text_facts(load_corpus(config.data, config.tokenizer, progress=False))
    assert (facts["held_out"]["documents"], facts["held_out_cross_entropy"], facts["unseen_share"]) == (0, None, None)
    assert len(facts["excerpt"]) == EXCERPT


def test_sources_weigh_as_much_as_their_shares(corpus: Corpus) -> None:
    """Half of a mixture from a source of one token and half from one of another: the entropy of a coin, at any size."""
    one, other = (Documents(np.full(size, token), np.array([0]), np.array([size]), None, "") for token, size in SOURCES)
    nothing = one._replace(starts=np.zeros(0, dtype=np.int64), stops=np.zeros(0, dtype=np.int64))
    training = Blend((Portion("a", 2.0, one), Portion("b", 2.0, other)))
    validation = Blend((Portion("a", 2.0, nothing), Portion("b", 2.0, other)))
    facts = text_facts(corpus._replace(training=training, validation=validation))
    assert facts["entropy"] == pytest.approx(math.log(2))
    assert facts["sources"]["a"]["tokens"] == 100
    assert facts["held_out"]["tokens"] == 900
    assert facts["excerpt"] == [66] * EXCERPT, "of the source that has held-out text"


SOURCES = ((65, 100), (66, 900))
"""(token, how many of it) of two sources."""


def test_excerpt_is_held_out_text(corpus: Corpus) -> None:
    excerpt = text_facts(corpus)["excerpt"]
    starts = corpus.validation.starts
    assert any(corpus.validation.tokens[start : start + len(excerpt)].tolist() == excerpt for start in starts)


def test_cross_entropy_is_least_where_the_shares_agree() -> None:
    counts = np.array([100, 300, 600])
    entropy = -sum(share * math.log(share) for share in (0.1, 0.3, 0.6))
    assert cross_entropy(counts, counts * 1000) == pytest.approx(entropy, abs=1e-4)
    assert cross_entropy(counts, counts[::-1] * 1000) > entropy + 0.1
    assert math.isfinite(cross_entropy(np.array([0, 1]), np.array([9, 0])))


def test_spaces_are_seen(corpus: Corpus) -> None:
    tokenizer = corpus.tokenizer
    (space,) = tokenizer.encode(" ")
    assert piece(tokenizer, int(space)) == "\N{OPEN BOX}"
    assert all(piece(tokenizer, id) for id in range(tokenizer.vocab_size)), "every token is something to see"
