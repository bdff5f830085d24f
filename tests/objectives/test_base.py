"""What all objectives share: settings, scores, refusals."""

import numpy as np
import pytest
import torch

from tests.data.synthetic import SyntheticTokenizer
from tests.objectives.heads import TokenHead
from zoo.batch import IGNORE_INDEX
from zoo.errors import ConfigError
from zoo.objectives.base import score_tokens, special_table
from zoo.objectives.masked_lm import MaskedLMConfig


def test_scores_are_sums_and_metrics_come_in_evaluation_only() -> None:
    labels = torch.tensor([[3, IGNORE_INDEX, 1], [IGNORE_INDEX, 0, 2]])
    hidden = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    head = TokenHead(4, 7)
    trained, evaluated = score_tokens(hidden, head.train(), labels), score_tokens(hidden, head.eval(), labels)
    assert trained.metrics == {}
    assert int(trained.count) == 4
    assert torch.equal(trained.loss, evaluated.loss)
    predicted = (hidden @ head.weight.T + head.bias).argmax(dim=-1)
    assert int(evaluated.metrics["accuracy"]) == int((predicted == labels).sum())
    assert trained.each is None
    assert evaluated.each is not None
    assert torch.equal(labels.flatten()[evaluated.each.places], labels[labels != IGNORE_INDEX])
    torch.testing.assert_close(evaluated.each.losses.sum(), trained.loss, rtol=1e-12, atol=0)
    rows = [score_tokens(hidden[row : row + 1], head, labels[row : row + 1]).loss for row in range(2)]
    torch.testing.assert_close(rows[0] + rows[1], trained.loss, rtol=1e-12, atol=0)


def test_rows_without_targets_score_nothing() -> None:
    head = TokenHead(4, 7)
    hidden = torch.zeros(2, 3, 4, dtype=torch.float64, requires_grad=True)
    scores = score_tokens(hidden, head, torch.full((2, 3), IGNORE_INDEX))
    assert scores.loss.item() == 0
    assert int(scores.count) == 0
    scores.loss.backward()
    assert hidden.grad is not None
    assert not hidden.grad.any()


def test_special_table() -> None:
    assert np.flatnonzero(special_table(SyntheticTokenizer("bert"))).tolist() == [0, 1, 2, 3, 4]


def test_settings_are_checked() -> None:
    for fields in ({"weight": 0.0}, {"share": 0.0}, {"weight": float("nan")}):
        with pytest.raises(ConfigError, match=next(iter(fields))):
            MaskedLMConfig(**fields)
    with pytest.raises(ConfigError, match=r"^model\.max_length: 2 is too short for masked_lm: it needs 3 at least"):
        MaskedLMConfig().check_length(2)
