"""A decoder sees the past only, save for a prefix, and goes on from a cache where it stopped."""

import pytest
import torch
from torch import Tensor

from zoo.models.create import create_model
from zoo.models.decoder import Decoder, DecoderConfig
from zoo.nn.positions import PositionsConfig

SETTINGS = {"kind": "decoder", "dim": 8, "num_layers": 2, "num_heads": 2, "vocab_size": 11, "max_length": 8}
TOKENS = torch.tensor([[1, 2, 3, 4, 5, 6]])


def changes(place: int, **inputs: Tensor) -> list[bool]:
    """Which hidden states change when the token at a place does."""
    model = create_model(SETTINGS).double()
    other = TOKENS.clone()
    other[0, place] = 9
    return (model.backbone(tokens=TOKENS, **inputs) != model.backbone(tokens=other, **inputs)).any(-1)[0].tolist()


@pytest.mark.parametrize("place", range(6))
def test_the_past_does_not_see_the_future(place: int) -> None:
    assert changes(place) == [False] * place + [True] * (6 - place)


def test_prefix() -> None:
    prefix = torch.tensor([[1, 1, 1, 0, 0, 0]]).bool()
    assert changes(2, prefix=prefix) == [True] * 6
    assert changes(3, prefix=prefix) == [False] * 3 + [True] * 3


def test_documents() -> None:
    documents = torch.tensor([[4, 4, 0, 0, 0, -1]])
    assert changes(0, documents=documents) == [True, True, False, False, False, False]
    assert changes(3, documents=documents) == [False, False, False, True, True, False]


class Layer:
    """Keys and values of one layer."""

    def __init__(self) -> None:
        self.parts: list[tuple[Tensor, Tensor]] = []

    def extend(self, k_BGSK: Tensor, v_BGSK: Tensor) -> tuple[Tensor, Tensor]:
        self.parts.append((k_BGSK, v_BGSK))
        keys, values = zip(*self.parts, strict=True)
        return torch.cat(keys, dim=2), torch.cat(values, dim=2)


class Cache:
    """The simplest cache: positions and layers, no documents."""

    def __init__(self) -> None:
        self.positions = torch.empty(1, 0, dtype=torch.long)
        self.layers: dict[int, Layer] = {}

    @property
    def length(self) -> int:
        return self.positions.shape[1]

    def append(self, positions_BT: Tensor, documents_BT: Tensor | None) -> tuple[Tensor, Tensor | None]:
        assert documents_BT is None
        self.positions = torch.cat((self.positions, positions_BT), dim=1)
        return self.positions, None

    def layer(self, index: int) -> Layer:
        return self.layers.setdefault(index, Layer())


@pytest.mark.parametrize("positions", PositionsConfig.choices)
def test_cached_equals_whole_and_counts_on(positions: str) -> None:
    model, cache = create_model(SETTINGS, positions=positions).double(), Cache()
    parts = [model.backbone(tokens=part, cache=cache) for part in TOKENS.split((3, 1, 2), dim=1)]
    torch.testing.assert_close(torch.cat(parts, dim=1), model.backbone(tokens=TOKENS))
    assert cache.positions.tolist() == [[0, 1, 2, 3, 4, 5]]


def test_family() -> None:
    assert isinstance(create_model(SETTINGS).backbone, Decoder)
    assert DecoderConfig.causal
    assert [side.causal for side in DecoderConfig().sides()] == [True]
