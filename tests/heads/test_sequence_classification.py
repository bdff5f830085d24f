"""A label for each row: however it is padded, in every family."""

from typing import Any

import pytest
import torch

from zoo.errors import ConfigError
from zoo.models import ModelConfig
from zoo.models.create import create_model, model_config

SMALL = {"dim": 8, "num_layers": 2, "num_heads": 2, "max_length": 8, "vocab_size": 11}


def settings(family: str, pooling: str, **changes: Any) -> dict[str, Any]:
    head = {"kind": "sequence_classification", "labels": ["a", "b", "c"], "pooling": pooling, **changes}
    return {**SMALL, "kind": family, "heads": {"main": head}}


@pytest.mark.parametrize("pooling", ["first", "last", "mean"])
@pytest.mark.parametrize("family", ModelConfig.choices)
def test_padding_changes_nothing(family: str, pooling: str) -> None:
    if family != "encoder" and pooling == "first":
        return
    model = create_model(settings(family, pooling)).double().eval()
    prefix = "decoder_" if family == "encoder_decoder" else ""
    tokens = torch.tensor([[3, 1, 4, 1], [5, 9, 2, 0]])
    source = {"tokens": tokens} if prefix else {}
    real = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]]).bool()
    alone = model(**{**{k: t[1:] for k, t in source.items()}, f"{prefix}tokens": tokens[1:, :3]})["main"]
    assert alone.shape == (1, 3)
    for shift in (0, 1):  # padding behind, or before
        shifted = tokens.clone()
        shifted[1] = tokens[1].roll(shift)
        inputs = {
            f"{prefix}tokens": shifted,
            f"{prefix}documents": torch.where(torch.stack((real[0], real[1].roll(shift))), 0, -1),
            f"{prefix}positions": torch.stack((torch.arange(4), torch.tensor([0, 1, 2, 0]).roll(shift))),
        }
        torch.testing.assert_close(model(**source, **inputs)["main"][1:], alone)


@pytest.mark.parametrize("family", ["decoder", "encoder_decoder"])
def test_a_first_token_that_has_seen_nothing(family: str) -> None:
    with pytest.raises(ConfigError, match=rf"^heads\.main\.pooling: 'first' reads .* in model '{family}'; set last"):
        model_config(settings(family, "first"))
    assert model_config(settings("encoder", "first"))
