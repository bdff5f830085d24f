"""Layers that share a block run the same weights, each at its own place; what cannot be shared is refused."""

from pathlib import Path
from typing import Any

import pytest
import torch

import zoo
from tests.laws import assert_laws, small
from zoo.errors import ConfigError
from zoo.models import ModelConfig
from zoo.nn.attention import MultiHeadAttentionConfig
from zoo.nn.differential import DifferentialConfig
from zoo.nn.init import BertInitializationConfig, initialize
from zoo.nn.norm import BatchNormConfig
from zoo.nn.sharing import (
    AllSharedConfig,
    CycleSharingConfig,
    OwnWeightsConfig,
    ReversedCycleSharingConfig,
    SequenceSharingConfig,
    SharingConfig,
)
from zoo.nn.stack import Stack, StackConfig

# Takase & Kiyono 2021, figure 1, with M = 3 blocks and N = 6 layers
ORDERS = [
    (OwnWeightsConfig(), [0, 1, 2, 3, 4, 5]),
    (AllSharedConfig(), [0, 0, 0, 0, 0, 0]),
    (SequenceSharingConfig(num_blocks=3), [0, 0, 1, 1, 2, 2]),
    (CycleSharingConfig(num_blocks=3), [0, 1, 2, 0, 1, 2]),
    (ReversedCycleSharingConfig(num_blocks=3), [0, 1, 2, 2, 1, 0]),
]


@pytest.mark.parametrize("sharing, order", ORDERS, ids=lambda value: getattr(value, "kind", ""))
def test_order_of_the_paper(sharing: SharingConfig, order: list[int]) -> None:
    assert sharing.order(6) == order


def test_every_kind_is_here() -> None:
    assert {sharing.kind for sharing, _ in ORDERS} == set(SharingConfig.choices)


def stack(sharing: SharingConfig, num_layers: int = 6) -> Stack:
    config = StackConfig(dim=8, num_heads=2, feed_forward_dim=8, num_layers=num_layers, sharing=sharing)
    module = Stack(config, causal=True).double()
    initialize(module, BertInitializationConfig(std=0.3), seed=0)
    return module


@pytest.mark.parametrize("sharing, order", ORDERS, ids=lambda value: getattr(value, "kind", ""))
def test_shared_stack_equals_one_with_copied_weights(sharing: SharingConfig, order: list[int]) -> None:
    shared, own = stack(sharing), stack(OwnWeightsConfig())
    assert len(shared.blocks) == len(set(order))
    for layer, block in enumerate(order):
        own.blocks[layer].load_state_dict(shared.blocks[block].state_dict())
    own.norm.load_state_dict(shared.norm.state_dict())
    hidden, positions = torch.randn(2, 5, 8, dtype=torch.float64), torch.arange(5)[None]
    torch.testing.assert_close(shared(hidden, positions), own(hidden, positions), rtol=0, atol=0)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"sharing": CycleSharingConfig(num_blocks=4)}, r"sharing.num_blocks: 4 blocks .* num_layers=6 .*legal: 2, 3"),
        ({"sharing": CycleSharingConfig(num_blocks=6)}, "sharing.num_blocks: 6 blocks cannot be shared"),
        (
            {"sharing": AllSharedConfig(), "layers": {"1": {"attention": {"window": 2}}}},
            "sharing: 'all' has layers 0 and 1 share their weights, but `layers` makes them differ in attention.window",
        ),
        (
            {"sharing": AllSharedConfig(), "num_layers": 1},
            "sharing: 'all' has nothing to share with num_layers=1; use none",
        ),
        (
            {"sharing": AllSharedConfig(), "norm": BatchNormConfig()},
            r"norm: 'batch_norm' .* running mean .* one layer.*sharing: all. cannot have; use .*sharing: none",
        ),
        (
            {"sharing": CycleSharingConfig(), "attention": MultiHeadAttentionConfig(differential=DifferentialConfig())},
            r"attention.differential.lambda_init: null .*sharing: cycle. cannot have; give a number, or sharing: none",
        ),
        (
            {"sharing": AllSharedConfig(), "layers": {"1": {"feed_forward": {"kind": "none"}}}},
            "differ in feed_forward.kind: 'plain' and 'none'",
        ),
    ],
)
def test_refusals(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        StackConfig(**{"num_layers": 6, **settings})  # type: ignore[arg-type]


def test_what_does_not_differ_from_layer_to_layer_can_be_shared() -> None:
    """One λ for all layers; a norm that no block has."""
    numbered = MultiHeadAttentionConfig(differential=DifferentialConfig(lambda_init=0.5))
    StackConfig(num_layers=6, sharing=AllSharedConfig(), attention=numbered)
    StackConfig(num_layers=6, sharing=AllSharedConfig(), norm=BatchNormConfig(), placement="none")


@pytest.mark.parametrize("family", ModelConfig.choices)
@pytest.mark.parametrize("sharing", ["all", {"kind": "cycle", "num_blocks": 2}, {"kind": "reversed_cycle"}], ids=str)
def test_laws(family: str, sharing: Any) -> None:
    assert_laws(small(family, num_layers=4, sharing=sharing, positions="rotary"))


@pytest.mark.parametrize("family", ModelConfig.choices)
def test_shared_layers_that_are_stored_once_load(family: str, tmp_path: Path) -> None:
    """More layers than there are tensors: the guard of a checkpoint counts blocks."""
    model = small(family, num_layers=64, sharing="all").build()
    zoo.save(model, tmp_path / "model")
    loaded = zoo.load(tmp_path / "model").model
    assert loaded.config == model.config
    for name, parameter in loaded.named_parameters():
        assert torch.equal(parameter, model.get_parameter(name))
