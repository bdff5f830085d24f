"""Vectors of texts: alone as in a batch, from what each pooling says, in every family."""

from typing import Any

import pytest
import torch

from tests.generation.tiny import pretrained
from zoo.errors import ConfigError, DataError
from zoo.generation.embed import POOLINGS
from zoo.generation.prompts import framed
from zoo.nn.positions import PositionsConfig
from zoo.pretrained import ABILITIES, Pretrained

TEXTS = ["The dog", "A", "The cat sees the dog", "The dog"]


def hidden_of(model: Pretrained, text: str) -> torch.Tensor:
    """(T, D) of one text by itself."""
    tokens = torch.tensor([framed(model.config.kind, model.tokenizer, model.tokenizer.encode(text).tolist())])
    backbone: Any = model.model.backbone
    with torch.no_grad():
        if model.config.kind == "encoder_decoder":
            return backbone.encode(tokens).hidden_BSD[0]
        return backbone(tokens)[0]


@pytest.mark.parametrize("positions", ["learned", "relative", "alibi", "none"])
@pytest.mark.parametrize("kind", ABILITIES)
def test_a_text_has_the_same_vector_in_any_batch(kind: str, positions: str) -> None:
    assert positions in PositionsConfig.choices
    model = pretrained(kind, positions=positions)
    for pooling in POOLINGS:
        together = model.embed(TEXTS, pooling=pooling)
        assert together.shape == (4, 16)
        for vector, text in zip(together, TEXTS, strict=True):
            torch.testing.assert_close(vector, model.embed(text, pooling=pooling), rtol=1e-5, atol=1e-5)
        assert not torch.allclose(together[0], together[1], atol=1e-2)


@pytest.mark.parametrize("kind", ABILITIES)
def test_poolings_are_what_they_are_called(kind: str) -> None:
    model = pretrained(kind, positions="rotary")
    for text in TEXTS:
        hidden = hidden_of(model, text)
        for pooling, expected in {"mean": hidden.mean(0), "first": hidden[0], "last": hidden[-1]}.items():
            torch.testing.assert_close(model.embed(text, pooling=pooling), expected, rtol=1e-5, atol=1e-5)
    assert torch.equal(model.embed(TEXTS[0]), model.embed(TEXTS[0], pooling="mean"))
    normal = model.embed(TEXTS, normalize=True)
    torch.testing.assert_close(normal.norm(dim=-1), torch.ones(4))


def test_vectors_can_be_trained_on_and_wrong_input_is_refused() -> None:
    model = pretrained("encoder", positions="learned")
    probe = torch.nn.Linear(16, 1)
    probe(model.embed(TEXTS)).sum().backward()
    assert model.embed([]).shape == (0, 16)
    with pytest.raises(ConfigError, match="unknown pooling 'middle'"):
        model.embed("The", pooling="middle")
    with pytest.raises(DataError, match="learned positions; shorten the text"):
        model.embed(["The", "the " * 30])
    with pytest.raises(DataError, match="text 1 is empty"):
        pretrained("decoder").embed(["The", ""])
