"""An encoder sees both ways, within the document."""

import torch

from zoo.models.create import create_model
from zoo.models.encoder import Encoder, EncoderConfig

SETTINGS = {"kind": "encoder", "dim": 8, "num_layers": 2, "num_heads": 2, "vocab_size": 11, "max_length": 8}


def changes(segments: torch.Tensor | None = None, **inputs: torch.Tensor) -> torch.Tensor:
    """Which hidden states change when the third token does."""
    model = create_model(SETTINGS).double()
    tokens = torch.tensor([[1, 2, 3, 4, 5]])
    other = tokens.clone()
    other[0, 2] = 9
    return (model.backbone(tokens=tokens, **inputs) != model.backbone(tokens=other, **inputs)).any(-1)[0]


def test_every_place_sees_every_other() -> None:
    assert changes().all()


def test_only_within_the_document() -> None:
    assert changes(documents=torch.tensor([[0, 1, 1, 1, 2]])).tolist() == [False, True, True, True, False]
    assert changes(documents=torch.tensor([[-1, 1, 1, 1, -1]])).tolist() == [False, True, True, True, False]


def test_segments_matter() -> None:
    model = create_model(SETTINGS, embedding={"num_segments": 2})
    tokens, segments = torch.tensor([[1, 2, 3]]), torch.tensor([[0, 0, 1]])
    assert not torch.equal(model.backbone(tokens=tokens, segments=segments), model.backbone(tokens=tokens))


def test_family() -> None:
    assert isinstance(create_model(SETTINGS).backbone, Encoder)
    assert not EncoderConfig.causal
    assert [side.causal for side in EncoderConfig().sides()] == [False]
