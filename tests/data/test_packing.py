"""Rows from documents: nothing lost, nothing twice, no document next to another without a border."""

import itertools
from collections import Counter
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.data.synthetic import all_rows, documents_of, random_documents
from zoo.batch import IGNORE_INDEX
from zoo.data.framing import Frame
from zoo.data.packing import DocumentRows, Fit, StreamRows
from zoo.data.rows import Rows
from zoo.data.split import Documents
from zoo.errors import DataError

END = Frame((), (1,), 0)
BOTH = Frame((2,), (3,), 0)


def same(lengths: np.ndarray) -> np.ndarray:
    """A piece takes as many slots as it has tokens."""
    return lengths


def framed_size(lengths: np.ndarray) -> np.ndarray:
    """A piece takes two slots more, for its frame."""
    return lengths + 2


def numbered_documents(lengths: list[int]) -> Documents:
    """Documents whose tokens are all different (10, 11, …)."""
    ends = np.cumsum([0, *lengths]) + 10
    return documents_of([list(range(a, b)) for a, b in itertools.pairwise(ends)], gap=2)


def pieces_of(rows: Rows) -> list[list[int]]:
    """The tokens of each document of each row, after checking what surrounds them."""
    pieces = []
    for tokens, documents, positions in zip(rows.tokens, rows.documents, rows.positions, strict=True):
        held = documents >= 0
        assert not held[np.argmin(held) :].any() or held.all(), "padding stands at the end of a row"
        assert (tokens[~held] == 0).all()
        assert (positions[~held] == 0).all()
        ids = documents[held]
        assert ids[0] == 0
        assert np.isin(np.diff(ids), (0, 1)).all(), "documents are counted 0, 1, … in a row"
        for index in range(ids[-1] + 1):
            mine = documents == index
            assert positions[mine].tolist() == list(range(mine.sum()))
            pieces.append(tokens[mine].tolist())
    return pieces


def predictions(rows: Rows) -> Counter[tuple[int, int]]:
    """All (token, next token) pairs that are labelled."""
    labels = rows.labels["next_token"]
    scored = labels != IGNORE_INDEX
    assert not scored[rows.documents < 0].any()
    return Counter(zip(rows.tokens[scored].tolist(), labels[scored].tolist(), strict=True))


LENGTHS = st.lists(st.integers(0, 30), min_size=1, max_size=12).filter(lambda lengths: sum(lengths) >= 16)


@settings(max_examples=150, deadline=None)
@given(LENGTHS, st.integers(1, 16), st.integers(0, 5), st.booleans())
def test_stream_holds_each_token_once_and_predicts_each_once(
    lengths: list[int], width: int, epoch: int, begin: bool
) -> None:
    documents = numbered_documents(lengths)
    frame = BOTH if begin else END
    maker = StreamRows(documents, frame, width, seed=4)
    rows = maker.rows(*all_rows(maker.num_rows, epoch))
    framed = [[*frame.before, *documents.tokens[a:b].tolist(), *frame.after]
              for a, b in zip(documents.starts, documents.stops, strict=True) if b > a]  # fmt: skip
    assert Counter(rows.tokens[rows.documents >= 0].tolist()) == Counter(itertools.chain(*framed))
    assert predictions(rows) == Counter(pair for text in framed for pair in itertools.pairwise(text))
    joined = "|".join(" ".join(map(str, text)) for text in framed)
    for piece in pieces_of(rows):
        assert " ".join(map(str, piece)) in joined


def test_stream_rows_are_full_but_for_the_last() -> None:
    maker = StreamRows(numbered_documents([5, 9, 40, 3]), END, 8, seed=0)
    for epoch in range(4):
        rows = maker.rows(*all_rows(maker.num_rows, epoch))
        assert (rows.documents[:-1] >= 0).all()
        assert (rows.documents >= 0).sum() == 5 + 9 + 40 + 3 + 4


def test_stream_shifts_from_the_second_epoch_on() -> None:
    documents = numbered_documents([500])
    shifted, fixed = StreamRows(documents, END, 16, seed=0), StreamRows(documents, END, 16, seed=0, shift=False)
    other_seed = StreamRows(documents, END, 16, seed=1)
    firsts = [shifted.rows(*all_rows(shifted.num_rows, epoch)).tokens[0, 0] for epoch in range(50)]
    assert firsts[0] == 10
    assert len(set(firsts)) > 10
    assert all(10 <= first < 26 for first in firsts)
    assert [other_seed.rows(*all_rows(1, epoch)).tokens[0, 0] for epoch in range(50)] != firsts
    assert all(fixed.rows(*all_rows(1, epoch)).tokens[0, 0] == 10 for epoch in range(5))


@settings(max_examples=150, deadline=None)
@given(LENGTHS, st.integers(5, 16), st.booleans(), st.integers(1, 3))
def test_pieces_with_frames_rebuild_the_documents(lengths: list[int], width: int, pack: bool, shortest: int) -> None:
    documents = numbered_documents(lengths)
    if not any(length >= shortest for length in lengths) or width - 2 < 2 * shortest - 1:
        return
    maker = DocumentRows(documents, BOTH, width, Fit(width, framed_size, shortest), pack)
    rows = maker.rows(*all_rows(maker.num_rows))
    pieces = pieces_of(rows)
    assert len(pieces) == maker.num_pieces
    assert pack or maker.num_pieces == maker.num_rows
    assert all(piece[0] == 2 and piece[-1] == 3 and len(piece) >= shortest + 2 for piece in pieces)
    assert (rows.special == np.isin(rows.tokens, (0, 2, 3))).all()
    inner = sorted((piece[1:-1] for piece in pieces), key=lambda piece: piece[0])
    spans = zip(documents.starts, documents.stops, strict=True)
    kept = [documents.tokens[a:b].tolist() for a, b in spans if b - a >= shortest]
    assert list(itertools.chain(*inner)) == list(itertools.chain(*kept))
    assert maker.left_out == len(lengths) - len(kept)
    borders = {text[0] for text in kept}
    assert borders <= {piece[0] for piece in inner}, "no piece reaches over the end of a document"


@settings(max_examples=150, deadline=None)
@given(LENGTHS, st.integers(3, 16), st.booleans())
def test_pieces_of_framed_documents_predict_each_token_once(lengths: list[int], width: int, pack: bool) -> None:
    documents = numbered_documents(lengths)
    maker = DocumentRows(documents, END, width, Fit(width, same, 2, framed="document"), pack)
    rows = maker.rows(*all_rows(maker.num_rows))
    framed = [[*documents.tokens[a:b].tolist(), 1] for a, b in zip(documents.starts, documents.stops, strict=True)]
    wanted = Counter(pair for text in framed for pair in itertools.pairwise(text))
    assert predictions(rows) == wanted
    assert all(len(piece) >= 2 for piece in pieces_of(rows))


@pytest.mark.parametrize("framed", ["piece", "document"])
def test_pieces_are_the_same_in_every_epoch(framed: Literal["piece", "document"]) -> None:
    maker = DocumentRows(random_documents(40, 20), BOTH, 32, Fit(32, framed_size, 2, framed))
    one, other = maker.rows(*all_rows(maker.num_rows, 0)), maker.rows(*all_rows(maker.num_rows, 3))
    assert np.array_equal(one.tokens, other.tokens)


def test_packing_saves_rows() -> None:
    documents = random_documents(200, 20)
    packed = DocumentRows(documents, BOTH, 64, Fit(64, framed_size))
    alone = DocumentRows(documents, BOTH, 64, Fit(64, framed_size), pack=False)
    assert packed.num_pieces == alone.num_pieces == alone.num_rows
    assert packed.num_rows < 0.5 * alone.num_rows
    assert (packed.rows(*all_rows(packed.num_rows)).documents >= 0).mean() > 0.95


def test_width_may_follow_the_fullest_row() -> None:
    fit = Fit(8, lambda lengths: -(-lengths // 2))
    assert fit.longest == 16
    maker = DocumentRows(numbered_documents([40]), Frame((), (), 0), None, fit)
    assert maker.width == 16


@pytest.mark.parametrize("kind", ["stream", "documents"])
def test_any_split_into_calls_gives_the_same_rows(kind: str) -> None:
    documents = random_documents(60, 20)
    maker = (
        StreamRows(documents, END, 24, seed=3)
        if kind == "stream"
        else DocumentRows(documents, BOTH, 24, Fit(24, framed_size))
    )
    draw = np.random.default_rng(0)
    epochs, samples = draw.integers(0, 4, 40), draw.integers(0, maker.num_rows, 40)
    whole = maker.rows(epochs, samples)
    for index in range(40):
        alone = maker.rows(epochs[index : index + 1], samples[index : index + 1])
        for name in ("tokens", "documents", "positions", "special"):
            assert np.array_equal(getattr(alone, name)[0], getattr(whole, name)[index]), name
        assert np.array_equal(alone.labels["next_token"][0], whole.labels["next_token"][index])


def test_too_little_text() -> None:
    short = numbered_documents([3, 4])
    with pytest.raises(DataError, match="9 tokens but one row needs 16"):
        StreamRows(short, END, 16)
    with pytest.raises(DataError, match="11 tokens but one row needs 16"):
        DocumentRows(short, BOTH, 16, Fit(16, framed_size))
    with pytest.raises(DataError, match="none of the 20 documents has the 2 tokens"):
        DocumentRows(numbered_documents([1] * 20), BOTH, 16, Fit(16, framed_size, shortest=2))
    with pytest.raises(DataError, match="0 tokens"):
        StreamRows(numbered_documents([]), END, 16)
