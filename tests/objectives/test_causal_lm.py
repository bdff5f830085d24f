"""Causal language modelling: labels are the next token of the same document, each token once."""

from collections import Counter
from itertools import pairwise
from typing import Literal

import numpy as np
import pytest

from tests.data.synthetic import SyntheticTokenizer, all_rows, random_documents
from zoo.batch import IGNORE_INDEX
from zoo.errors import ConfigError, DataError
from zoo.objectives.base import Setup
from zoo.objectives.causal_lm import CausalLMConfig

TOKENIZER = SyntheticTokenizer("gpt")
END = TOKENIZER.role("end")
DOCUMENTS = random_documents(60, 25)


@pytest.mark.parametrize("packing", ["stream", "documents", "none"])
def test_each_token_is_predicted_once_from_its_document(
    packing: Literal["stream", "documents", "none"],
) -> None:
    objective = CausalLMConfig(packing=packing).build("clm", Setup(TOKENIZER, 16, 0))
    maker = objective.row_maker(DOCUMENTS)
    wanted: Counter[tuple[int, int]] = Counter()
    for start, stop in zip(DOCUMENTS.starts, DOCUMENTS.stops, strict=True):
        wanted.update(pairwise([*DOCUMENTS.tokens[start:stop].tolist(), END]))
    for epoch in (0, 1):
        rows = maker.rows(*all_rows(maker.num_rows, epoch))
        noised = objective.noise(rows)
        assert noised.inputs == {}
        scored = noised.labels != IGNORE_INDEX
        assert Counter(zip(rows.tokens[scored].tolist(), noised.labels[scored].tolist(), strict=True)) == wanted
        same = rows.documents[:, 1:] == rows.documents[:, :-1]
        assert np.array_equal(noised.labels[:, :-1][same & scored[:, :-1]], rows.tokens[:, 1:][same & scored[:, :-1]])
        assert not scored[rows.documents < 0].any()
        assert (rows.tokens[(rows.documents >= 0) & ~scored][:-1] == END).all() or packing != "stream"


def test_packing_none_has_one_piece_a_row() -> None:
    objective = CausalLMConfig(packing="none").build("clm", Setup(TOKENIZER, 16, 0))
    maker = objective.row_maker(DOCUMENTS)
    assert maker.rows(*all_rows(maker.num_rows)).documents.max() == 0


def test_refusals() -> None:
    with pytest.raises(DataError, match="end"):
        CausalLMConfig().build("clm", Setup(SyntheticTokenizer("bert"), 16, 0))
    with pytest.raises(ConfigError, match=r"max_length: 2 is too short"):
        CausalLMConfig().build("clm", Setup(TOKENIZER, 2, 0))
    with pytest.raises(DataError, match=r"tokens but one row needs 5000"):
        CausalLMConfig().build("clm", Setup(TOKENIZER, 5000, 0)).row_maker(DOCUMENTS)
