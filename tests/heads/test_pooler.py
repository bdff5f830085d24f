"""One vector for a row, from its first token through a dense layer."""

import pytest
import torch

from zoo.errors import ConfigError
from zoo.models.create import create_model, model_config

SMALL = {"kind": "encoder", "dim": 8, "num_layers": 1, "num_heads": 2, "max_length": 8, "vocab_size": 11}


def test_formula() -> None:
    head = create_model({**SMALL, "heads": {"main": "pooler"}}).double().heads["main"]
    hidden = torch.randn(2, 5, 8, dtype=torch.float64)
    dense = head.transform.dense
    torch.testing.assert_close(head(hidden), torch.tanh(hidden[:, 0] @ dense.weight.T + dense.bias))


def test_only_encoders_have_a_token_that_stands_for_the_row() -> None:
    with pytest.raises(ConfigError, match=r"heads\.main: head 'pooler' does not fit model 'decoder'"):
        model_config({**SMALL, "kind": "decoder", "heads": {"main": "pooler"}})
