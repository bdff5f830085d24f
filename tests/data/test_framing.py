"""Windows on framed texts against plain lists."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.data.synthetic import documents_of, numbers
from zoo.batch import IGNORE_INDEX
from zoo.data.framing import Frame, Runs, lay


@settings(max_examples=200, deadline=None)
@given(st.data(), st.integers(0, 2), st.integers(0, 2), st.integers(1, 6))
def test_any_window_of_any_frame(data: st.DataObject, before: int, after: int, length: int) -> None:
    frame = Frame((101, 102)[:before], (201, 202)[:after], 0)
    texts = [[10, 11, 12], list(range(20, 20 + length)), [50]]
    documents = documents_of(texts, gap=1)
    framed = [[*frame.before, *text, *frame.after] for text in texts]
    picks = data.draw(st.lists(st.integers(0, 2), min_size=1, max_size=4))
    windows = []
    for pick in picks:
        first = data.draw(st.integers(0, len(framed[pick]) - 1))
        windows.append((pick, first, data.draw(st.integers(1, len(framed[pick]) - first))))
    width = max(count for _, _, count in windows)
    runs = Runs(
        rows=np.arange(len(windows)),
        columns=np.zeros(len(windows), np.int64),
        documents=np.zeros(len(windows), np.int64),
        starts=documents.starts[picks],
        lengths=(documents.stops - documents.starts)[picks],
        firsts=np.array([first for _, first, _ in windows]),
        counts=np.array([count for _, _, count in windows]),
    )
    samples = np.arange(len(windows))
    rows = lay(documents.tokens, frame, runs, np.zeros_like(samples), samples, width)
    for index, (pick, first, count) in enumerate(windows):
        text = [*framed[pick], IGNORE_INDEX]
        padding = width - count
        assert rows.tokens[index].tolist() == text[first : first + count] + [0] * padding
        assert rows.labels["next_token"][index].tolist() == (
            text[first + 1 : first + 1 + count] + [IGNORE_INDEX] * padding
        )
        assert rows.documents[index].tolist() == [0] * count + [-1] * padding
        assert rows.positions[index].tolist() == list(range(count)) + [0] * padding
        special = [token > 100 for token in text[first : first + count]]
        assert rows.special[index].tolist() == special + [True] * padding
    assert rows.tokens.dtype == np.int64


def test_two_runs_in_a_row() -> None:
    documents = documents_of([[10, 11], [20]])
    runs = Runs(
        rows=numbers(0, 0),
        columns=numbers(0, 2),
        documents=numbers(0, 1),
        starts=documents.starts,
        lengths=numbers(2, 1),
        firsts=numbers(0, 0),
        counts=numbers(2, 2),
    )
    rows = lay(documents.tokens, Frame((), (3,), 0), runs, numbers(0), numbers(0), 5)
    assert rows.tokens.tolist() == [[10, 11, 20, 3, 0]]
    assert rows.documents.tolist() == [[0, 0, 1, 1, -1]]
    assert rows.positions.tolist() == [[0, 1, 0, 1, 0]]
    assert rows.labels["next_token"].tolist() == [[11, 3, 3, IGNORE_INDEX, IGNORE_INDEX]]
