"""Masked language modelling, against the paper's distribution.

Statistical tests use fixed seeds and fail at p < 1e-6.
"""

import numpy as np
import pytest
import torch
from scipy import stats
from torch.nn import functional

from tests.data.synthetic import FIRST_ORDINARY, SyntheticTokenizer, all_rows, documents_of, random_documents
from tests.objectives.heads import TokenHead
from zoo.batch import IGNORE_INDEX
from zoo.data.rows import Rows
from zoo.errors import ConfigError, DataError
from zoo.objectives.base import Objective, Setup
from zoo.objectives.masked_lm import MaskedLMConfig

TOKENIZER = SyntheticTokenizer("bert")
MASK = TOKENIZER.role("mask")
RARE = 1e-6


def built(max_length: int = 64, seed: int = 0, **fields: object) -> Objective:
    return MaskedLMConfig(**fields).build("mlm", Setup(TOKENIZER, max_length, seed))


def rows_of(objective: Objective, epochs: int = 1, count: int = 200) -> Rows:
    maker = objective.row_maker(random_documents(count, 40))
    epoch, sample = np.divmod(np.arange(epochs * maker.num_rows), maker.num_rows)
    return maker.rows(epoch, sample)


def test_the_number_of_chosen_places_is_exact() -> None:
    for rate in (0.15, 0.4, 1.0, 0.001):
        objective = built(rate=rate)
        rows = rows_of(objective)
        chosen = objective.noise(rows).labels != IGNORE_INDEX
        assert not chosen[rows.special].any()
        ordinary = (~rows.special).sum(axis=1)
        assert np.array_equal(chosen.sum(axis=1), np.maximum(1, np.rint(rate * ordinary)))


def test_what_becomes_of_the_chosen() -> None:
    objective = built()
    rows = rows_of(objective, epochs=20)
    noised = objective.noise(rows)
    tokens, labels = noised.inputs["tokens"], noised.labels
    chosen = labels != IGNORE_INDEX
    assert np.array_equal(labels[chosen], rows.tokens[chosen])
    assert np.array_equal(tokens[~chosen], rows.tokens[~chosen]), "nothing else is touched"
    after, before = tokens[chosen], rows.tokens[chosen]
    masked, kept = after == MASK, after == before
    ordinary = TOKENIZER.vocab_size - len(TOKENIZER.special_ids)
    shares = np.array([0.8, 0.1 * (1 - 1 / ordinary), 0.1 + 0.1 / ordinary])  # a random token may be the true one
    counts = np.array([masked.sum(), (~masked & ~kept).sum(), kept.sum()])
    assert stats.chisquare(counts, shares * counts.sum()).pvalue > RARE
    random = after[~masked & ~kept]
    assert random.min() >= FIRST_ORDINARY
    histogram = np.bincount(random, minlength=TOKENIZER.vocab_size)[FIRST_ORDINARY:]
    assert stats.chisquare(histogram).pvalue > RARE


@pytest.mark.parametrize("mask_share, random_share", [(1.0, 0.0), (0.0, 1.0), (0.0, 0.0), (0.5, 0.5)])
def test_shares_are_fields(mask_share: float, random_share: float) -> None:
    objective = built(mask_share=mask_share, random_share=random_share)
    rows = rows_of(objective, epochs=4)
    noised = objective.noise(rows)
    chosen = noised.labels != IGNORE_INDEX
    masked = (noised.inputs["tokens"] == MASK)[chosen]
    changed = (noised.inputs["tokens"] != rows.tokens)[chosen]
    assert stats.binomtest(int(masked.sum()), len(masked), mask_share).pvalue > RARE
    assert abs(changed.mean() - mask_share - random_share) < 0.02


def test_every_place_is_equally_likely_and_what_becomes_of_it_is_independent() -> None:
    text = list(range(FIRST_ORDINARY, FIRST_ORDINARY + 62))
    objective = built()
    rows = objective.row_maker(documents_of([text])).rows(np.arange(6000), np.zeros(6000, np.int64))
    noised = objective.noise(rows)
    chosen = noised.labels != IGNORE_INDEX
    assert (chosen.sum(axis=1) == 9).all()
    per_place = chosen.sum(axis=0)[1:63]
    # drawn without replacement: variances are smaller than the multinomial's by the share that is not drawn
    statistic = ((per_place - per_place.mean()) ** 2 / (per_place.mean() * (1 - 9 / 62))).sum() * 61 / 62
    assert RARE < stats.chi2.sf(statistic, 61) < 1 - RARE
    masked = ((noised.inputs["tokens"] == MASK) & chosen).sum(axis=0)[1:63]
    assert stats.chi2_contingency(np.stack([masked, per_place - masked])).pvalue > RARE
    # neighbours in a row, and the same place of the next epoch
    for one, other in ((chosen[:, 1:62], chosen[:, 2:63]), (chosen[:-1, 1:63], chosen[1:, 1:63])):
        together = stats.chi2_contingency(np.histogram2d(one.ravel(), other.ravel(), bins=2)[0])
        assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.03, together


def test_samples_epochs_seeds_and_names_have_noise_of_their_own() -> None:
    text = list(range(FIRST_ORDINARY, FIRST_ORDINARY + 62))
    objective = built()
    maker = objective.row_maker(documents_of([text, text]))
    epochs, samples = np.array([0, 0, 1, 0]), np.array([0, 1, 0, 0])
    rows = maker.rows(epochs, samples)
    labels = objective.noise(rows).labels
    assert np.array_equal(labels[0], labels[3])
    assert not np.array_equal(labels[0], labels[1])
    assert not np.array_equal(labels[0], labels[2])
    other_seed = built(seed=1).noise(rows).labels
    other_name = MaskedLMConfig().build("other", Setup(TOKENIZER, 64, 0)).noise(rows).labels
    assert not np.array_equal(labels, other_seed)
    assert not np.array_equal(labels, other_name)


def test_special_tokens_inside_the_text_are_left_alone() -> None:
    text = [TOKENIZER.role("unknown"), 7] * 20
    objective = built(rate=1.0)
    rows = objective.row_maker(documents_of([text, text])).rows(*all_rows(2))
    noised = objective.noise(rows)
    assert ((noised.labels == 7) | (noised.labels == IGNORE_INDEX)).all()
    nothing = objective.row_maker(documents_of([[1] * 80])).rows(*all_rows(2))
    noised = objective.noise(nothing)
    assert (noised.labels == IGNORE_INDEX).all()
    assert np.array_equal(noised.inputs["tokens"], nothing.tokens)


def test_rows_are_framed_pieces() -> None:
    packed, alone = built(packing="documents"), built(packing="none")
    rows = rows_of(packed)
    starts = np.diff(rows.documents, axis=1, prepend=-2) > 0
    assert (rows.tokens[starts & (rows.documents >= 0)] == TOKENIZER.role("classify")).all()
    assert rows_of(alone).documents.max() == 0
    assert rows.documents.max() > 0


def test_only_chosen_places_go_through_the_output_layer() -> None:
    objective = built()
    noised = objective.noise(rows_of(objective, count=20))
    labels = torch.from_numpy(noised.labels)
    head = TokenHead(8, TOKENIZER.vocab_size)
    hidden = torch.randn(*labels.shape, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    scores = objective.loss(hidden, head.train(), labels)
    assert head.projected == int((labels != IGNORE_INDEX).sum()) == int(scores.count)
    logits = hidden @ head.weight.T + head.bias
    reference = functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="sum")
    torch.testing.assert_close(scores.loss, reference, rtol=1e-12, atol=0)


def test_refusals() -> None:
    with pytest.raises(ConfigError, match=r"mask_share 0.8 and random_share 0.3"):
        MaskedLMConfig(random_share=0.3)
    with pytest.raises(ConfigError, match="rate"):
        MaskedLMConfig(rate=0.0)
    with pytest.raises(DataError, match="mask"):
        MaskedLMConfig().build("mlm", Setup(SyntheticTokenizer("gpt"), 64, 0))
    with pytest.raises(ConfigError, match=r"max_length: 2 is too short for masked_lm: it needs 3"):
        built(max_length=2)
