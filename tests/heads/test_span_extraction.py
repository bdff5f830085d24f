"""Two logits for each token: that the span begins there, and that it ends there."""

import pytest
import torch

from zoo.errors import ConfigError
from zoo.models.create import create_model, model_config

SMALL = {"kind": "encoder", "dim": 8, "num_layers": 1, "num_heads": 2, "max_length": 8, "vocab_size": 11}


def test_two_logits_a_token() -> None:
    model = create_model({**SMALL, "heads": {"main": "span_extraction"}})
    assert model(tokens=torch.zeros(2, 5, dtype=torch.int64))["main"].shape == (2, 5, 2)


def test_it_has_no_labels() -> None:
    with pytest.raises(ConfigError, match=r"heads\.main\.labels"):
        model_config({**SMALL, "heads": {"main": {"kind": "span_extraction", "labels": 3}}})
