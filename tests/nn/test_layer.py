"""A layer is built as its config says: what each part is asked for reaches it."""

import dataclasses
from typing import Any

import pytest

from zoo.errors import ConfigError
from zoo.nn.attention import MultiHeadAttentionConfig
from zoo.nn.layer import DropoutConfig, LayerConfig, Place, build_layer
from zoo.nn.linear import Depth
from zoo.nn.norm import RMSNormConfig
from zoo.nn.positions.alibi import AlibiConfig
from zoo.nn.residual import PLACEMENTS, Residual

PLACE = Place(Depth(2, 3, True), 1, memory_dim=6)


def test_widths_and_depth_reach_the_weights() -> None:
    block = build_layer(LayerConfig(dim=8, num_heads=2, head_dim=3, feed_forward_dim=5), PLACE)
    attention, cross, feed_forward = (part.sublayer for part in block.children())
    assert attention.project.key.weight.shape == (6, 8)
    assert cross.project.key.weight.shape == (6, 6)
    assert feed_forward.input.weight.shape == (5, 8)
    sites = [part.site for part in block.modules() if hasattr(part, "site")]
    assert {site.depth for site in sites} == {PLACE.depth}
    assert {site.dim for site in sites} == {8}


def test_without_a_memory_there_is_no_cross_attention() -> None:
    block = build_layer(LayerConfig(dim=8), Place(Depth(2)))
    assert sum(isinstance(part, Residual) for part in block.children()) == 2


@pytest.mark.parametrize("name", PLACEMENTS)
@pytest.mark.parametrize("around_attention", [None, *PLACEMENTS])
def test_norms_stand_where_the_placements_say(name: str, around_attention: str | None) -> None:
    if around_attention == name:
        return
    config = LayerConfig(dim=8, norm=RMSNormConfig(), placement=name, attention_placement=around_attention)
    assert config.placements == (PLACEMENTS[around_attention or name], PLACEMENTS[name])


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"attention_placement": "pre"}, "attention_placement: 'pre' is what placement says already; leave it out"),
        ({"attention_placement": "outside"}, "attention_placement: unknown norm placement 'outside'"),
    ],
)
def test_refusals(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        LayerConfig(**settings)


def test_what_is_asked_of_the_kernel() -> None:
    attention = MultiHeadAttentionConfig(kernel="reference", cap=3.0)
    config = LayerConfig(attention=attention, dropout=DropoutConfig(attention=0.1))
    assert config.kernel_features == {"cap": "cap=3.0", "dropout": "dropout=0.1"}
    assert dataclasses.replace(config, dropout=DropoutConfig()).kernel_features == {"cap": "cap=3.0"}


def test_what_a_fused_kernel_of_packed_rows_cannot_do_is_refused() -> None:
    varlen = MultiHeadAttentionConfig(kernel="varlen")
    LayerConfig(attention=varlen, head_dim=256)
    for settings, said in (
        ({"positions": AlibiConfig()}, "cannot do positions=alibi; use one of: flex"),
        ({"head_dim": 257}, "cannot do heads of 257; use one of: "),
        ({"dropout": DropoutConfig(attention=0.1)}, "cannot do dropout=0.1"),
    ):
        with pytest.raises(ConfigError, match=f"attention.kernel: kernel 'varlen' {said}"):
            LayerConfig(attention=varlen, **settings)
