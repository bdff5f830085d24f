"""From hidden states to queries, keys and values, head by head.

Multi-head: Vaswani et al. 2017, arXiv:1706.03762, section 3.2.2. Multi-query, one key and value head for all: Shazeer
2019, arXiv:1911.02150. Grouped-query, between the two: Ainslie et al. 2023, arXiv:2305.13245. One matrix for queries
and keys: Kitaev et al. 2020 (Reformer), arXiv:2001.04451, section 2.

Deviation from Reformer: only the matrix is shared. A query may still see its own place, and keys keep their length (for
keys of length 1, and queries too: `query_key_norm: {norm: l2_norm}`).
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from zoo.nn.linear import Depth, Linear, Role, Site


class Heads(NamedTuple):
    """How the width of the model is shared out over heads: H query heads, G key and value heads, K wide each."""

    num_heads: int
    num_kv_heads: int
    head_dim: int


class AttentionShape(NamedTuple):
    """The numbers of the layer around an attention.

    Attributes:
        dim: width D of the hidden state.
        heads: how D is shared out; grouped heads share keys and values.
        memory_dim: width of what keys and values come from; D in self-attention.
        depth: of the model, for depth-scaled initializations.
        layer: number of the layer, from 0.
    """

    dim: int
    heads: Heads
    memory_dim: int
    depth: Depth = Depth()
    layer: int = 0

    def site(self, role: Role) -> Site:
        """Where a weight of this attention stands."""
        return Site(role, self.depth, self.heads.head_dim, self.dim)


class Projections(nn.Module):
    """Hidden state and memory to queries, keys and values; the base of the kinds."""

    def memory_layers(self) -> list[Linear]:
        """The layers that are applied to the memory; all others are applied to the hidden state."""
        raise NotImplementedError

    def layers_for_both(self) -> list[Linear]:
        """The layers that are applied to the hidden state and, where it is not the same, to the memory too."""
        return []

    def queries(self, hidden_BTD: Tensor) -> Tensor:
        """(B, H, T, K) of the hidden state."""
        raise NotImplementedError

    def keys_values(self, memory_BSD: Tensor) -> tuple[Tensor, Tensor]:
        """Keys (B, G, S, K) and values (B, G, S, V) of the memory."""
        raise NotImplementedError

    def forward(self, hidden_BTD: Tensor, memory_BSD: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values; of itself, a hidden state is its own memory."""
        return self.queries(hidden_BTD), *self.keys_values(memory_BSD)


class Biases(NamedTuple):
    """Which of the three projections have biases."""

    query: bool
    key: bool
    value: bool


class MultiHeadProjections(Projections):
    """One matrix each for queries, keys and values.

    Args:
        biases: which of them have biases.
        shape: of the layer.
    """

    def __init__(self, biases: Biases, shape: AttentionShape) -> None:
        super().__init__()
        heads = shape.heads
        query_width, key_width = heads.num_heads * heads.head_dim, heads.num_kv_heads * heads.head_dim
        self.query = Linear(shape.dim, query_width, biases.query, site=shape.site("query"))
        self.key = Linear(shape.memory_dim, key_width, biases.key, site=shape.site("key"))
        self.value = Linear(shape.memory_dim, key_width, biases.value, site=shape.site("value"))
        self.head_dim = heads.head_dim

    def memory_layers(self) -> list[Linear]:
        """Keys and values come from the memory."""
        return [self.key, self.value]

    def queries(self, hidden_BTD: Tensor) -> Tensor:
        """(B, H, T, K)."""
        return split_heads(self.query(hidden_BTD), self.head_dim)

    def keys_values(self, memory_BSD: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values, (B, G, S, K) each."""
        return split_heads(self.key(memory_BSD), self.head_dim), split_heads(self.value(memory_BSD), self.head_dim)


class SharedProjections(Projections):
    """One matrix for queries and keys, one for values.

    Args:
        biases: which of them have biases.
        shape: of the layer; hidden state and memory are equally wide.
    """

    def __init__(self, biases: Biases, shape: AttentionShape) -> None:
        super().__init__()
        assert shape.memory_dim == shape.dim
        width = shape.heads.num_heads * shape.heads.head_dim
        self.query = Linear(shape.dim, width, biases.query, site=shape.site("query"))
        self.value = Linear(shape.dim, width, biases.value, site=shape.site("value"))
        self.head_dim = shape.heads.head_dim

    def memory_layers(self) -> list[Linear]:
        """Values come from the memory."""
        return [self.value]

    def layers_for_both(self) -> list[Linear]:
        """Keys too, by the matrix of the queries."""
        return [self.query]

    def queries(self, hidden_BTD: Tensor) -> Tensor:
        """(B, H, T, K)."""
        return split_heads(self.query(hidden_BTD), self.head_dim)

    def keys_values(self, memory_BSD: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values, (B, H, S, K) each."""
        return self.queries(memory_BSD), split_heads(self.value(memory_BSD), self.head_dim)

    def forward(self, hidden_BTD: Tensor, memory_BSD: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values; of itself, a hidden state is projected once for the first two."""
        if memory_BSD is not hidden_BTD:
            return super().forward(hidden_BTD, memory_BSD)
        q_BHTK = self.queries(hidden_BTD)
        return q_BHTK, q_BHTK, split_heads(self.value(memory_BSD), self.head_dim)


def split_heads(projected_BTX: Tensor, head_dim: int) -> Tensor:
    """(B, T, heads · K) → (B, heads, T, K)."""
    rows, length, width = projected_BTX.shape
    return projected_BTX.view(rows, length, width // head_dim, head_dim).transpose(1, 2)
