"""Every head sits on every backbone that it says it fits, and is refused by name on the others."""

import pytest
import torch
from torch.nn import functional

from zoo.errors import ConfigError
from zoo.heads import Head, HeadConfig
from zoo.models import ModelConfig
from zoo.models.create import create_model, model_config

SMALL = {"dim": 8, "num_layers": 1, "num_heads": 2, "max_length": 8, "vocab_size": 11}


@pytest.mark.parametrize("family", ModelConfig.choices)
@pytest.mark.parametrize("kind", HeadConfig.choices)
def test_every_head_on_every_family(kind: str, family: str) -> None:
    settings = {**SMALL, "kind": family, "heads": {"main": kind}}
    if family not in HeadConfig.choice(kind).families:
        legal = ", ".join(HeadConfig.choice(kind).families)
        with pytest.raises(
            ConfigError, match=rf"heads\.main: head '{kind}' does not fit model '{family}'; .*: {legal}"
        ):
            model_config(settings)
        return
    model = create_model(settings)
    assert isinstance(model.heads["main"], Head)
    tokens = torch.arange(6).reshape(2, 3)
    sides = {"tokens": tokens} | ({"decoder_tokens": tokens} if family == "encoder_decoder" else {})
    logits = model(**sides)["main"]
    assert logits.shape[0] == 2
    assert logits.isfinite().all()
    logits.sum().backward()
    assert all(parameter.grad is not None for parameter in model.heads["main"].parameters())


@pytest.mark.parametrize("family", ModelConfig.choices)
@pytest.mark.parametrize("kind", HeadConfig.choices)
def test_padding_on_either_side_changes_nothing(kind: str, family: str) -> None:
    if family not in HeadConfig.choice(kind).families:
        return
    model = create_model({**SMALL, "kind": family, "heads": {"main": kind}, "initialization": "xavier"}).double().eval()
    prefix = "decoder_" if family == "encoder_decoder" else ""
    source = {"tokens": torch.tensor([[1, 2, 3]])} if prefix else {}
    text = torch.tensor([[5, 9, 2]])
    alone = model(**source, **{f"{prefix}tokens": text})["main"]
    for left, right in ((2, 0), (0, 2), (1, 1)):
        real = functional.pad(torch.ones(1, 3), (left, right)).bool()
        inputs = {
            "tokens": functional.pad(text, (left, right), value=7),
            "positions": functional.pad(torch.arange(3)[None], (left, right)),
            "documents": torch.where(real, 0, -1),
        }
        padded = model(**source, **{f"{prefix}{name}": values for name, values in inputs.items()})["main"]
        torch.testing.assert_close(padded if padded.ndim == 2 else padded[:, left : left + 3], alone)


def test_what_a_model_says_does_not_reach_a_head_that_is_called_by_itself() -> None:
    model = create_model({**SMALL, "kind": "encoder", "heads": {"main": "sequence_classification"}}).eval()
    model(tokens=torch.zeros(2, 5, dtype=torch.int64), documents=torch.tensor([[0, 0, 0, 0, -1], [0, 0, -1, -1, -1]]))
    hidden = torch.randn(3, 4, 8)
    torch.testing.assert_close(model.heads["main"](hidden), model.heads["main"].output(hidden.mean(1)))


@pytest.mark.parametrize("kind", HeadConfig.choices)
def test_families_exist(kind: str) -> None:
    assert set(HeadConfig.choice(kind).families) <= set(ModelConfig.choices)


@pytest.mark.parametrize("name", ["keys", "a.b", "", "two words", "forward", "1st", "training"])
def test_names_that_torch_does_not_take(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"heads: head '{name}' needs another name"):
        model_config({**SMALL, "kind": "decoder", "heads": {name: "language_model"}})
