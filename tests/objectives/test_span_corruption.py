"""Span corruption: input and target rebuild the text, and spans are distributed as the T5 sampler's.

Statistical tests use fixed seeds and fail at p < 1e-6.
"""

import functools
import operator
from itertools import groupby
from math import comb

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tests.data.synthetic import SyntheticTokenizer, all_rows, documents_of, random_documents
from zoo.batch import IGNORE_INDEX
from zoo.data.rows import Rows
from zoo.errors import ConfigError, DataError
from zoo.objectives.base import Noised, Objective, Setup
from zoo.objectives.span_corruption import SpanCorruptionConfig, count_spans, match_spans

TOKENIZER = SyntheticTokenizer("t5")
END, PADDING = TOKENIZER.role("end"), TOKENIZER.role("padding")
RARE = 1e-6


def built(max_length: int = 64, seed: int = 0, **fields: object) -> Objective:
    return SpanCorruptionConfig(**fields).build("spans", Setup(TOKENIZER, max_length, seed))


def noised(objective: Objective, lengths: list[int], epochs: int = 1) -> tuple[Rows, Noised]:
    texts = [[5 + (7 * index + place) % 800 for place in range(length)] for index, length in enumerate(lengths)]
    maker = objective.row_maker(documents_of(texts))
    epoch, sample = np.divmod(np.arange(epochs * maker.num_rows), maker.num_rows)
    rows = maker.rows(epoch, sample)
    return rows, objective.noise(rows)


def sides(noise: Noised) -> list[list[tuple[list[int], list[int]]]]:
    """For each row the (encoder tokens, targets) of its pieces, after checking what surrounds them."""
    result = []
    for row in range(len(noise.labels)):
        pieces = []
        for side, values in (("", noise.inputs["tokens"]), ("decoder_", noise.labels)):
            documents, positions = noise.inputs[f"{side}documents"][row], noise.inputs[f"{side}positions"][row]
            held = documents >= 0
            assert np.array_equal(np.sort(held)[::-1], held), "padding stands at the end"
            assert (values[row][~held] == (IGNORE_INDEX if side else PADDING)).all()
            assert (positions[~held] == 0).all()
            mine = []
            for _, group in groupby(np.flatnonzero(held), key=lambda place, ids=documents: ids[place]):
                places = list(group)
                assert documents[places[0]] == len(mine)
                assert positions[places].tolist() == list(range(len(places)))
                mine.append(values[row][places].tolist())
                if side:
                    fed = noise.inputs["decoder_tokens"][row][places].tolist()
                    assert fed == [PADDING, *mine[-1][:-1]], "the decoder sees the target one place later"
            pieces.append(mine)
        assert (noise.inputs["decoder_tokens"][row][noise.inputs["decoder_documents"][row] < 0] == PADDING).all()
        result.append(list(zip(*pieces, strict=True)))
    return result


def parts(tokens: list[int]) -> list[list[int]]:
    """What stands between the sentinels, which must be <extra_id_0>, <extra_id_1>, … in order; ends with `end`."""
    assert tokens[-1] == END
    found: list[list[int]] = [[]]
    for token in tokens[:-1]:
        if token in TOKENIZER.sentinels:
            assert token == TOKENIZER.sentinels[len(found) - 1]
            found.append([])
        else:
            found[-1].append(token)
    return found


def spans_of(pair: tuple[list[int], list[int]]) -> tuple[list[list[int]], list[list[int]]]:
    """(what is kept before each span, the spans) of one piece."""
    kept, spans = parts(pair[0]), parts(pair[1])
    assert kept.pop() == [], "the last span ends the piece"
    assert spans.pop(0) == [], "the target begins with a sentinel"
    assert all(kept), "what is kept comes first, and between any two spans"
    assert all(spans)
    return kept, spans


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 90), max_size=6),
    st.floats(0.02, 0.9),
    st.floats(1.0, 8.0),
    st.sampled_from(["documents", "none"]),
    st.integers(0, 5),
)
def test_input_and_target_rebuild_the_text(
    lengths: list[int], density: float, mean: float, packing: str, seed: int
) -> None:
    objective = built(seed=seed, density=density, mean_span_length=mean, packing=packing)
    rows, noise = noised(objective, [*lengths, 400])
    for row, pairs in enumerate(sides(noise)):
        for document, pair in enumerate(pairs):
            kept, spans = spans_of(pair)
            text = rows.tokens[row][rows.documents[row] == document]
            assert (
                functools.reduce(operator.iadd, (a + b for a, b in zip(kept, spans, strict=True)), []) == text.tolist()
            )
            counted = count_spans(np.array([len(text)]), density, mean)
            assert len(spans) == counted.spans[0]
            assert sum(map(len, spans)) == counted.noise[0]
            assert (len(pair[0]), len(pair[1])) == (counted.encoder[0], counted.decoder[0])


@pytest.mark.parametrize("n, density, mean, noise, spans", [
    (512, 0.15, 3.0, 77, 26), (2, 0.15, 3.0, 1, 1), (10, 0.15, 3.0, 2, 1), (10, 0.99, 1.0, 9, 1),
    (100, 0.5, 3.0, 50, 17), (6, 0.75, 1.0, 4, 2),
])  # fmt: skip
def test_counts(n: int, density: float, mean: float, noise: int, spans: int) -> None:
    """Derived by hand from `random_spans_noise_mask`; in (10, 0.99) and (6, 0.75) few tokens are kept."""
    counted = count_spans(np.array([n]), density, mean)
    assert (counted.noise[0], counted.spans[0]) == (noise, spans)


def test_every_division_into_spans_is_equally_likely() -> None:
    # 20 tokens at density 0.3: 6 noise tokens in 3 spans: C(5, 2) = 10 divisions, and C(13, 2) = 78 of the 14 kept ones
    objective = built(density=0.3, mean_span_length=2.0, packing="none")
    _, noise = noised(objective, [20] * 4, epochs=4000)
    lengths = [tuple(map(len, side)) for pairs in sides(noise) for pair in pairs for side in spans_of(pair)]
    for found, number in ((lengths[0::2], comb(13, 2)), (lengths[1::2], comb(5, 2))):
        _, counts = np.unique(np.array(found), axis=0, return_counts=True)
        assert len(counts) == number
        assert stats.chisquare(counts).pvalue > RARE
    pairs = np.array([kept[0] * 100 + spans[0] for kept, spans in zip(lengths[0::2], lengths[1::2], strict=True)])
    kept_first, span_first = np.divmod(pairs, 100)
    table = np.histogram2d(kept_first, span_first, bins=[[1, 3, 5, 7, 13], [1, 2, 3, 5]])[0]
    assert stats.chi2_contingency(table).pvalue > RARE, "noise and the rest are divided independently"


def test_span_lengths_are_distributed_as_in_theory() -> None:
    """One part of a random division of k into s parts has length l with probability C(k−l−1, s−2) / C(k−1, s−1)."""
    objective = built(max_length=256)
    rows, noise = noised(objective, [300], epochs=400)
    n = int((rows.documents[0] >= 0).sum())
    counted = count_spans(np.array([n]), 0.15, 3.0)
    k, s = int(counted.noise[0]), int(counted.spans[0])
    lengths = np.array(
        [len(spans_of(pair)[1][0]) for pairs in sides(noise) for pair in pairs if len(pairs[0][0]) > 200]
    )
    theory = np.array([comb(k - length - 1, s - 2) / comb(k - 1, s - 1) for length in range(1, k - s + 2)])
    assert abs(theory.sum() - 1) < 1e-12
    tail = int(np.argmax(np.cumsum(theory) > 0.97))
    counts = np.bincount(np.minimum(lengths, tail + 1), minlength=tail + 2)[1:]
    expected = np.append(theory[:tail], theory[tail:].sum()) * len(lengths)
    assert stats.chisquare(counts, expected).pvalue > RARE


def test_every_place_is_noise_about_as_often() -> None:
    """The sampler always keeps the first token and always corrupts the last; in the middle the density holds."""
    objective = built(max_length=128, packing="none")
    _rows, noise = noised(objective, [100, 100], epochs=2000)
    hits = np.zeros(100)
    for pairs in sides(noise):
        kept, spans = spans_of(pairs[0])
        place = 0
        for before, span in zip(kept, spans, strict=True):
            place += len(before)
            hits[place : place + len(span)] += 1
            place += len(span)
    share = hits / len(noise.labels)
    assert share[0] == 0
    assert share[-1] == 1
    assert abs(share.mean() - 0.15) < 1e-12
    assert np.abs(share[10:85] - 0.147).max() < 0.05


def test_packed_pieces_fit_both_sides() -> None:
    documents = random_documents(400, 12)
    for fields in ({}, {"target_length": 40}, {"density": 0.5, "mean_span_length": 5.0}):
        objective = built(**fields)
        maker = objective.row_maker(documents)
        noise = objective.noise(maker.rows(*all_rows(maker.num_rows)))
        sides(noise)
        filled = (noise.inputs["documents"] >= 0).mean(), (noise.inputs["decoder_documents"] >= 0).mean()
        assert max(filled) > 0.9, "the tighter side is full"
        alone = built(**fields, packing="none").row_maker(documents)
        assert maker.num_rows < 0.7 * alone.num_rows


def test_target_length() -> None:
    assert built().noise(noised(built(), [100])[0]).labels.shape[1] == built().decoder_width
    wide, narrow = noised(built(target_length=50), [300])[1], noised(built(target_length=8), [300])[1]
    assert wide.labels.shape[1] == 50
    assert narrow.labels.shape[1] == 8
    assert narrow.inputs["tokens"].shape[1] == 64


def test_refusals() -> None:
    with pytest.raises(DataError, match=r"sentinel.*t5"):
        SpanCorruptionConfig().build("spans", Setup(SyntheticTokenizer("gpt"), 64, 0))
    few = Setup(SyntheticTokenizer("t5", num_sentinels=2), 64, 0)
    with pytest.raises(ConfigError, match=r"piece of 70 tokens has 3 spans .* but the tokenizer has 2 sentinels"):
        SpanCorruptionConfig().build("spans", few)
    SpanCorruptionConfig(mean_span_length=5.0).build("spans", few)
    with pytest.raises(ConfigError, match=r"target_length: 3 is too short"):
        built(target_length=3, density=0.9)
    with pytest.raises(ConfigError, match="max_length: 4 is too short"):
        built(max_length=4)
    with pytest.raises(DataError, match=r"none of the 90 documents has the 2 tokens"):
        built().row_maker(documents_of([[7]] * 90))


def spans_right(pieces: list[list[list[int]]], wrong: set[int]) -> dict[str, int]:
    """`match_spans` of pieces, each a list of spans, with the targets of these numbers predicted wrongly."""
    sentinels, end = np.array([99, 98, 97]), 1
    targets: list[int] = []
    for piece in pieces:
        for sentinel, span in zip(sentinels.tolist(), piece, strict=False):
            targets += [sentinel, *span]
        targets.append(end)
    correct = torch.tensor([number not in wrong for number in range(len(targets))], dtype=torch.bool)
    matched = match_spans(torch.tensor(targets, dtype=torch.long), correct, sentinels, end)
    return {name: int(count) for name, count in matched.items()}


def test_a_span_is_right_as_a_whole_or_not_at_all() -> None:
    # targets: 0: <99>, 1-2: 5 6, 3: <98>, 4: 7, 5: </s>, then 6: <99>, 7-9: 8 8 8, 10: </s>
    pieces = [[[5, 6], [7]], [[8, 8, 8]]]
    assert spans_right(pieces, set()) == {"spans": 3, "exact_match": 3}
    assert spans_right(pieces, {1, 2}) == {"spans": 3, "exact_match": 2}
    assert spans_right(pieces, {0, 6}) == {"spans": 3, "exact_match": 3}, "what opens a piece is given away"
    assert spans_right(pieces, {3}) == {"spans": 3, "exact_match": 2}, "the first span went on too long"
    assert spans_right(pieces, {5}) == {"spans": 3, "exact_match": 2}
    assert spans_right(pieces, {2, 4, 8}) == {"spans": 3, "exact_match": 0}
    assert spans_right([], set()) == {"spans": 0, "exact_match": 0}
