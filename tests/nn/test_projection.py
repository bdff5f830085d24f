"""Projections share the width out over heads, and know what they read."""

import pytest
import torch

from zoo.errors import ConfigError
from zoo.models.create import model_config
from zoo.nn.linear import Depth
from zoo.nn.projection import (
    AttentionShape,
    Biases,
    Heads,
    MultiHeadProjections,
    Projections,
    SharedProjections,
    split_heads,
)

SHAPE = AttentionShape(6, Heads(4, 2, 3), memory_dim=5, depth=Depth(2))


def test_heads_are_consecutive_columns() -> None:
    projected = torch.arange(24.0).reshape(1, 2, 12)
    heads = split_heads(projected, 3)
    assert heads.shape == (1, 4, 2, 3)
    assert torch.equal(heads[0, 1], projected[0, :, 3:6])


def test_shapes_and_sources() -> None:
    module = MultiHeadProjections(Biases(True, False, True), SHAPE)
    q, k, v = module(torch.zeros(2, 7, 6), torch.zeros(2, 9, 5))
    assert (q.shape, k.shape, v.shape) == ((2, 4, 7, 3), (2, 2, 9, 3), (2, 2, 9, 3))
    assert module.memory_layers() == [module.key, module.value]
    assert [layer.bias is not None for layer in (module.query, module.key, module.value)] == [True, False, True]


def test_sites() -> None:
    site = SHAPE.site("query")
    assert (site.role, site.depth, site.head_dim, site.dim) == ("query", Depth(2), 3, 6)


@pytest.mark.parametrize("cross", [False, True])
def test_shared_projections_are_separate_ones_with_equal_weights(cross: bool) -> None:
    shape = AttentionShape(6, Heads(2, 2, 3), memory_dim=6)
    shared, separate = (kind(Biases(True, True, False), shape) for kind in (SharedProjections, MultiHeadProjections))
    randomize(shared)
    weights = shared.state_dict()
    separate.load_state_dict(weights | {f"key.{part}": weights[f"query.{part}"] for part in ("weight", "bias")})
    hidden = torch.randn(2, 7, 6)
    memory = torch.randn(2, 9, 6) if cross else hidden
    for one, other in zip(shared(hidden, memory), separate(hidden, memory), strict=True):
        torch.testing.assert_close(one, other)


def randomize(module: Projections) -> None:
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_()


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"num_kv_heads": 2}, r"attention.shared_query_key: .* num_kv_heads=2 must be num_heads=4"),
        ({"attention": {"key_bias": False}}, r"attention.shared_query_key: .* key_bias=False must be query_bias=True"),
    ],
)
def test_what_is_shared_must_fit(settings: dict[str, object], message: str) -> None:
    shared = {"kind": "decoder", "attention": {"shared_query_key": True}}
    assert model_config(shared).attention.kind == "multi_head"
    with pytest.raises(ConfigError, match=message):
        model_config(shared, **settings)


def test_one_matrix_reads_one_width() -> None:
    """The config refuses it by name; here it is our own invariant."""
    with pytest.raises(AssertionError):
        SharedProjections(Biases(True, True, True), AttentionShape(6, Heads(2, 2, 3), memory_dim=5))
