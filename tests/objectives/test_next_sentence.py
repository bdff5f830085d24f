"""Next-sentence prediction; how pairs are drawn is tested in tests/data/test_pairs.py."""

import numpy as np
import pytest
import torch

from tests.data.synthetic import SyntheticTokenizer, all_rows, random_documents
from tests.objectives.heads import PairHead
from zoo.errors import ConfigError, DataError
from zoo.objectives.base import Setup
from zoo.objectives.next_sentence import NextSentenceConfig

SETUP = Setup(SyntheticTokenizer("bert"), 64, 0)


def test_labels_are_the_pairs_and_nothing_is_changed() -> None:
    objective = NextSentenceConfig().build("nsp", SETUP)
    maker = objective.row_maker(random_documents(50, 40))
    rows = maker.rows(*all_rows(maker.num_rows))
    noised = objective.noise(rows)
    assert noised.inputs == {}
    assert np.array_equal(noised.labels, rows.labels["next_sentence"])
    assert set(np.unique(noised.labels)) == {0, 1}


def test_loss_reads_one_target_a_row() -> None:
    objective = NextSentenceConfig().build("nsp", SETUP)
    labels = torch.tensor([0, 1, 1])
    hidden = torch.randn(3, 5, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    head = PairHead(8)
    scores = objective.loss(hidden, head.eval(), labels)
    logits = head(hidden)
    reference = -logits.log_softmax(dim=-1)[torch.arange(3), labels].sum()
    torch.testing.assert_close(scores.loss, reference, rtol=1e-12, atol=0)
    assert int(scores.count) == 3
    assert int(scores.metrics["accuracy"]) == int((logits.argmax(dim=-1) == labels).sum())


def test_refusals() -> None:
    with pytest.raises(DataError, match="classify"):
        NextSentenceConfig().build("nsp", SETUP._replace(tokenizer=SyntheticTokenizer("gpt")))
    with pytest.raises(ConfigError, match=r"max_length: 4 is too short"):
        NextSentenceConfig().build("nsp", SETUP._replace(max_length=4))
    one = random_documents(1, 400)
    with pytest.raises(DataError, match=r"0 of 1 documents|1 of 1 documents") as caught:
        NextSentenceConfig().build("nsp", SETUP).row_maker(one)
    for words in ("data.source.document=blank_line or line", "objectives.nsp=null model.heads.next_sentence=null"):
        assert words in str(caught.value)
    with pytest.raises(DataError, match="sentences"):
        NextSentenceConfig().build("nsp", SETUP).row_maker(random_documents(50, 40, sentence=None))
