"""Statistics of a store, beside numbers counted out by hand."""

import math
from pathlib import Path

import numpy as np
import pytest

from tests.data.memory import ListConfig
from zoo.data import statistics as module
from zoo.data.statistics import QUANTILES, measure, token_counts, unigram_entropy
from zoo.data.store import build_store
from zoo.tokenizer.train import BytesConfig

TOKENIZER = BytesConfig().train()


def test_a_store_in_numbers(tmp_path: Path) -> None:
    found = measure(build_store(ListConfig(texts=("aabb", "é", "", "cc")), TOKENIZER, tmp_path))
    assert found.counts.sum() == 8
    assert sorted(found.counts[found.counts > 0].tolist()) == [1, 1, 2, 2, 2]
    assert found.lengths.tolist()[:: len(QUANTILES) - 1] == [2, 4]
    assert (found.mean_length, found.bytes_per_token, found.used) == (8 / 3, 1.0, 5)
    assert found.entropy == pytest.approx(2 * 1 / 8 * 3 + 3 * 2 / 8 * 2)
    assert found.entropy_per_byte == found.entropy


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = np.random.default_rng(0).integers(0, 50, 1_000).astype(np.uint16)
    whole = token_counts(tokens, 60)
    monkeypatch.setattr(module, "_BLOCK_TOKENS", 7)
    assert np.array_equal(token_counts(tokens, 60), whole)
    assert whole[50:].tolist() == [0] * 10


@pytest.mark.parametrize("size", [1, 2, 256])
def test_entropy_of_equal_shares_is_the_logarithm_of_their_number(size: int) -> None:
    assert unigram_entropy(np.array([7] * size + [0])) == pytest.approx(math.log2(size))


def test_entropy_of_nothing_is_nothing() -> None:
    assert unigram_entropy(np.zeros(5, np.int64)) == 0.0
