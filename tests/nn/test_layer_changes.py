"""Changes reach the layers that their slice names and no others; what does not fit is refused with its key."""

from typing import Any

import pytest
import torch
from torch import nn

from tests.laws import assert_laws, small
from zoo.errors import ConfigError
from zoo.models import ModelConfig
from zoo.nn.attention import MultiHeadAttentionConfig
from zoo.nn.init import BertInitializationConfig, initialize
from zoo.nn.positions import PositionsConfig
from zoo.nn.positions.alibi import AlibiConfig
from zoo.nn.positions.none import NoPositionsConfig
from zoo.nn.positions.rotary import RotaryConfig
from zoo.nn.stack import Stack, StackConfig


def config(layers: dict[str, Any], **settings: Any) -> StackConfig:
    sizes: dict[str, Any] = {"dim": 8, "num_heads": 2, "feed_forward_dim": 8, "num_layers": 8, "max_length": 32}
    return StackConfig(**{"positions": RotaryConfig(), **sizes, **settings}, layers=layers)


@pytest.mark.parametrize(
    "key, chosen",
    [
        ("0", [0]),
        ("-1", [7]),
        ("3::4", [3, 7]),
        (":2", [0, 1]),
        ("-2:", [6, 7]),
        ("2:6:3", [2, 5]),
        (":-1", list(range(7))),
        ("6:100", [6, 7]),
    ],
)
def test_slices_are_those_of_python(key: str, chosen: list[int]) -> None:
    windows = [layer.attention.window for layer in config({key: {"attention": {"window": 3}}}).layer_configs()]
    assert [layer for layer, window in enumerate(windows) if window == 3] == chosen


def test_later_keys_stand_on_earlier_ones() -> None:
    layers = config({"1:": {"attention": {"window": 3}}, "3::4": {"attention": {"window": None}}})
    windows = [layer.attention.window for layer in layers.layer_configs()]
    assert windows == [None, 3, 3, None, 3, 3, 3, None]


def test_a_new_kind_drops_what_stood_beside_the_old_one() -> None:
    changed = config({"0": {"positions": "alibi"}, "1": {"positions": {"theta": 5.0}}}).layer_configs()
    assert [layer.positions for layer in changed[:3]] == [AlibiConfig(), RotaryConfig(theta=5.0), RotaryConfig()]


def build(settings: StackConfig) -> Stack:
    module = Stack(settings, causal=True).double()
    initialize(module, BertInitializationConfig(std=0.3), seed=0)
    return module


def test_each_layer_computes_with_its_own_settings() -> None:
    """A mixed stack is the first layer of one stack followed by the second of another."""
    changes = {"1": {"positions": {"theta": 3.0}, "attention": {"window": 1}}}
    mixed = build(config(changes, num_layers=2))
    plain = build(config({}, num_layers=2))
    other = build(
        config({}, num_layers=2, positions=RotaryConfig(theta=3.0), attention=MultiHeadAttentionConfig(window=1))
    )
    hidden, row = torch.randn(2, 6, 8, dtype=torch.float64), torch.arange(6)[None]
    for module in (plain, mixed, other):
        module.norm = nn.Identity()
    first = build(config({}, num_layers=2))
    first.norm = nn.Identity()
    first.blocks = first.blocks[:1]
    first.sorts, first.order = first.sorts[:1], first.order[:1]
    other.blocks = other.blocks[1:]
    other.sorts, other.order = other.sorts[1:], [0]
    torch.testing.assert_close(mixed(hidden, row), other(first(hidden, row), row))
    assert not torch.allclose(mixed(hidden, row), plain(hidden, row))


def test_layers_without_positions() -> None:
    stack = build(config({"3::4": {"positions": "none"}}))
    assert len(stack.schemes) == 2
    assert [sort.scheme for sort in stack.sorts] == [0, 0, 0, 1, 0, 0, 0, 1]
    assert config({"3::4": {"positions": "none"}}).layer_configs()[3].positions == NoPositionsConfig()


def test_first_layer_without_its_norm() -> None:
    stack = build(config({"0": {"attention_placement": "none"}}))
    assert [isinstance(block.self_attention.before, nn.LayerNorm) for block in stack.blocks] == [False] + [True] * 7
    assert all(isinstance(block.feed_forward.before, nn.LayerNorm) for block in stack.blocks)


@pytest.mark.parametrize("positions", PositionsConfig.choices)
def test_layers_with_other_heads_have_positions_of_their_own(positions: str) -> None:
    """Rotation tables are as wide as the heads, biases one for each head."""
    changes = {"positions": positions, "layers": {"1": {"num_heads": 2, "head_dim": 6}}}
    for family in ("encoder", "decoder"):
        assert_laws(small(family, **changes))


@pytest.mark.parametrize(
    "layers, message",
    [
        ({"9": {"attention": {"window": 2}}}, "layers.9: meets no layer of num_layers=8; layers are numbered from 0"),
        ({"first": {"attention": {"window": 2}}}, "layers.first: is no number or slice of layers"),
        ({"::0": {"attention": {"window": 2}}}, "layers.::0: is no number or slice"),
        ({"0": {"attention": {"window": None}}}, "layers.0: changes nothing: .* holds there already"),
        ({"0": {}}, "layers.0: {} must be a group of settings of a layer"),
        ({"0": 3}, "layers.0: 3 must be a group of settings of a layer"),
        ({"0": {"windw": 3}}, "layers.0.windw: unknown key 'windw'"),
        ({"0": {"attention": {"windw": 3}}}, "layers.0.attention.windw: .*did you mean 'window'"),
        ({"0": {"num_kv_heads": 3}}, "layers.0.num_kv_heads: 3 does not divide num_heads=2"),
        ({"0": {"dim": 16, "head_dim": 4}}, "layers.0.dim: 16 cannot differ from layer to layer; the stack has 8"),
        ({"0": {"dropout": {"final": 0.5}}}, "layers.0.dropout.final: 0.5 cannot differ from layer to layer"),
        ({"0": {"positions": "learned"}}, "layers.0.positions: 'learned' act on the embeddings"),
        (
            {":": {"attention": {"window": 2}}},
            "layers.:: meets every layer of num_layers=8; say what it changes at the top",
        ),
        (
            {"0:9": {"placement": "post"}},
            "layers.0:9: meets every layer of num_layers=8; say what it changes at the top",
        ),
        (
            {"2:4": {"attention": {"window": 2}}, "3": {"num_heads": 4}, "1:": {"attention": {"window": 5}}},
            "layers.2:4: has no effect: keys after it change all of it once more; leave it out",
        ),
        (
            {"::2": {"placement": "post"}, "1::2": {"placement": "sandwich"}},
            "layers: give every layer another placement than placement=pre, .*; say at the top what the last layer has",
        ),
        ({"0": {"num_layers": 3}}, "layers.0.num_layers: unknown key"),
    ],
)
def test_refusals(layers: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config(layers)


def test_earlier_keys_that_matter_are_legal() -> None:
    """One layer keeps the change, or a later key stands on it."""
    assert config({"2:4": {"attention": {"window": 2}}, "3:": {"attention": {"window": 5}}})
    assert config({"2": {"head_dim": 6}, "2:3": {"num_heads": 3}})


@pytest.mark.parametrize("family", ModelConfig.choices)
def test_laws(family: str) -> None:
    """Windows, positions, placements and widths that differ from layer to layer, on both sides."""
    changes = {"0": {"attention_placement": "none"}, "1::2": {"attention": {"window": 1}, "positions": "none"}}
    changes["2"] = {"feed_forward_dim": 8, "num_kv_heads": 2, "norm": "rms_norm"}
    assert_laws(small(family, num_layers=4, positions="rotary", layers=changes))
