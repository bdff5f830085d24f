"""Projections share the width out over heads, and know what they read."""

import torch

from zoo.nn.linear import Depth
from zoo.nn.projection import AttentionShape, Biases, Heads, MultiHeadProjections, split_heads

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
