"""Pairs for next-sentence prediction, against the paper's distribution."""

import itertools

import numpy as np
import pytest
from scipy import stats

from tests.data.synthetic import all_rows, documents_of
from zoo.data.pairs import IS_NEXT, IS_RANDOM, PairRows, PairTokens
from zoo.data.rows import Rows
from zoo.data.split import Documents
from zoo.errors import DataError

SPECIAL = PairTokens(classify=2, separate=3, padding=0)
RARE = 1e-6


def numbered(lengths: list[int], sentence: int = 5) -> Documents:
    """Documents whose tokens are all different: token − 10 is the place in the store."""
    ends = np.cumsum([0, *lengths]) + 10
    return documents_of([list(range(a, b)) for a, b in itertools.pairwise(ends)], sentence=sentence)


CORPUS = numbered([40, 90, 33, 4, 61, 120, 10])
"""Seven documents; the fourth has one sentence."""


def halves(rows: Rows, index: int) -> tuple[np.ndarray, np.ndarray]:
    """Places in the store of A and of B, after checking what surrounds them."""
    tokens, segments = rows.tokens[index], rows.segments[index] if rows.segments is not None else None
    assert segments is not None
    separators = np.flatnonzero(tokens == SPECIAL.separate)
    assert tokens[0] == SPECIAL.classify
    assert len(separators) == 2
    middle, last = separators
    inside = np.arange(len(tokens)) <= last
    assert (rows.documents[index] == np.where(inside, 0, -1)).all()
    assert (rows.positions[index] == np.where(inside, np.arange(len(tokens)), 0)).all()
    assert (segments == ((np.arange(len(tokens)) > middle) & inside)).all()
    assert (tokens[~inside] == SPECIAL.padding).all()
    assert (rows.special[index] == (~inside | np.isin(np.arange(len(tokens)), (0, middle, last)))).all()
    a, b = tokens[1:middle] - 10, tokens[middle + 1 : last] - 10
    assert len(a) >= 1
    assert len(b) >= 1
    assert (np.diff(a) == 1).all()
    assert (np.diff(b) == 1).all()
    return a, b


def document_of(place: int) -> int:
    return int(np.searchsorted(CORPUS.starts, place, side="right")) - 1


def many(maker: PairRows, epochs: int) -> Rows:
    """All rows of several epochs."""
    epoch, sample = np.divmod(np.arange(epochs * maker.num_rows), maker.num_rows)
    return maker.rows(epoch, sample)


def test_next_is_next_and_random_is_from_another_document() -> None:
    maker = PairRows(CORPUS, SPECIAL, 24, short_share=0.1, seed=0)
    rows = many(maker, 200)
    assert maker.left_out == 1
    whole_next = 0
    for index, label in enumerate(rows.labels["next_sentence"]):
        a, b = halves(rows, index)
        if label == IS_NEXT:
            assert document_of(a[0]) == document_of(b[0])
            assert b[0] > a[-1]
            whole_next += b[0] == a[-1] + 1
        else:
            assert label == IS_RANDOM
            assert document_of(a[0]) != document_of(b[0]), "never from the same document"
            assert document_of(b[0]) == document_of(b[-1])
    assert whole_next > 0.2 * len(rows.samples)
    random = rows.labels["next_sentence"] == IS_RANDOM
    assert stats.binomtest(int(random.sum()), len(random)).pvalue > RARE
    per_row = np.bincount(rows.samples, weights=random)
    assert (np.abs(per_row - 100) < 40).all(), "every row is either, from epoch to epoch"


def test_other_documents_and_their_sentences_are_equally_likely() -> None:
    maker = PairRows(CORPUS, SPECIAL, 300, short_share=0.0, seed=1)  # nothing is cut
    rows = many(maker, 2000)
    b_first = []
    for index in np.flatnonzero(rows.labels["next_sentence"] == IS_RANDOM):
        a, b = halves(rows, index)
        if document_of(a[0]) == 1:
            b_first.append(b[0])
    documents = np.array([document_of(place) for place in b_first])
    counts = np.bincount(documents, minlength=7)
    assert counts[1] == counts[3] == 0
    assert stats.chisquare(counts[[0, 2, 4, 5, 6]]).pvalue > RARE
    sentences = np.bincount((np.array(b_first)[documents == 0] - CORPUS.starts[0]) // 5, minlength=8)
    assert stats.chisquare(sentences).pvalue > RARE


def test_the_border_is_equally_likely_behind_each_sentence_but_the_last() -> None:
    maker = PairRows(CORPUS, SPECIAL, 300, short_share=0.0, seed=2)
    assert maker.num_rows == 6, "each usable document is one chunk"
    rows = many(maker, 4000)
    lengths = [len(halves(rows, index)[0]) for index in np.flatnonzero(rows.samples == 0)]
    counts = np.bincount(np.array(lengths) // 5, minlength=8)
    assert counts[0] == 0
    assert len(counts) == 8
    assert stats.chisquare(counts[1:]).pvalue > RARE


def test_chunks_are_a_partition_and_are_filled() -> None:
    maker = PairRows(CORPUS, SPECIAL, 24, short_share=0.0, seed=0)
    firsts, stops = maker.chunk_first, maker.chunk_stop
    assert firsts[0] == 0
    assert (firsts[1:] == stops[:-1]).all()
    assert stops[-1] == len(maker.sentences)
    assert (stops - firsts >= 2).all()
    rows = many(maker, 20)
    filled = (rows.documents >= 0).sum(axis=1)
    assert (filled == 24).mean() > 0.5


def test_the_longer_is_cut() -> None:
    documents = numbered([200, 200], sentence=100)
    rows = many(PairRows(documents, SPECIAL, 24, short_share=0.0, seed=0), 400)
    starts = []
    for index in range(len(rows.samples)):
        a, b = halves(rows, index)
        assert (len(a), len(b)) == (11, 10)
        starts.append(a[0] % 100)
    assert min(starts) < 5, "cut behind"
    assert max(starts) > 84, "cut in front"
    short_a = documents_of([[*range(10, 16), *range(100, 200)], [*range(300, 406)]], sentence=200)
    short_a = short_a._replace(sentences=np.array([0, 6, 106, 112]))
    rows = many(PairRows(short_a, SPECIAL, 24, short_share=0.0, seed=0), 20)
    assert all((rows.tokens[index] == 3).nonzero()[0].tolist() == [7, 23] for index in range(len(rows.samples)))


def test_short_rows() -> None:
    never = many(PairRows(CORPUS, SPECIAL, 64, short_share=0.0, seed=0), 100)
    always = many(PairRows(CORPUS, SPECIAL, 64, short_share=1.0, seed=0), 100)
    assert (always.documents >= 0).sum() < 0.8 * (never.documents >= 0).sum()
    for index in range(len(always.samples)):
        halves(always, index)


def test_any_split_into_calls_gives_the_same_rows() -> None:
    maker = PairRows(CORPUS, SPECIAL, 24, short_share=0.1, seed=0)
    whole = maker.rows(*all_rows(maker.num_rows, 2))
    for index in range(maker.num_rows):
        alone = maker.rows(np.array([2]), np.array([index]))
        assert np.array_equal(alone.tokens[0], whole.tokens[index])
        assert alone.labels["next_sentence"][0] == whole.labels["next_sentence"][index]
    other = PairRows(CORPUS, SPECIAL, 24, short_share=0.1, seed=1).rows(*all_rows(maker.num_rows, 2))
    assert not np.array_equal(other.tokens, whole.tokens)


def test_a_split_in_the_middle_of_a_sentence() -> None:
    part = CORPUS._replace(starts=np.array([3, 60]), stops=np.array([32, 101]))
    rows = many(PairRows(part, SPECIAL, 24, short_share=0.0, seed=0), 50)
    places = rows.tokens[~rows.special] - 10
    assert (((places >= 3) & (places < 32)) | ((places >= 60) & (places < 101))).all()
    assert 3 in places
    assert 60 in places


def test_what_cannot_be_paired() -> None:
    with pytest.raises(DataError, match="need sentences"):
        PairRows(CORPUS._replace(sentences=None), SPECIAL, 24, 0.1, 0)
    with pytest.raises(DataError, match=r"two documents or more.*1 of 3 documents"):
        PairRows(numbered([5, 40, 4]), SPECIAL, 24, 0.1, 0)
    with pytest.raises(DataError, match="20 tokens but one row needs 24"):
        PairRows(numbered([10, 10]), SPECIAL, 24, 0.1, 0)
