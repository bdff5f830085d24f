"""Weights that know what they are for.

`Linear` and `Embedding` are torch's, with two differences. They leave their weights unset, because an initialization
(`nn/init.py`) fills every one of them afterwards and torch's own draw would cost time and the global random stream. And
they carry a `site` ("query", "feed_forward_output", …), by which initializations know them: identity is never read from
a substring of a name.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from zoo.errors import DataError
from zoo.nn.few_rows import linear
from zoo.nn.watched import is_watched

Role = Literal[
    "query",
    "key",
    "value",
    "query_latent",
    "key_value_latent",
    "shared_key",
    "attention_gate",
    "attention_output",
    "feed_forward_input",
    "feed_forward_gate",
    "feed_forward_output",
    "router",
    "token_embedding",
    "embedding_projection",
    "segment_embedding",
    "position_embedding",
    "relative_bias",
    "head_transform",
    "head_output",
]


class Depth(NamedTuple):
    """How deep a model is, and on which side of it a stack stands.

    Attributes:
        encoder_layers, decoder_layers: blocks of each side; 0 where the model has no such side.
        in_decoder: whether the stack is the decoder.
        absent_branches: how many sublayers the blocks of the stack lack (`feed_forward: none`).
    """

    encoder_layers: int = 0
    decoder_layers: int = 0
    in_decoder: bool = False
    absent_branches: int = 0

    @property
    def num_layers(self) -> int:
        """Blocks of the stack."""
        return self.decoder_layers if self.in_decoder else self.encoder_layers

    @property
    def num_branches(self) -> int:
        """Residual branches that the stack sums up: 2 for each block, 3 where blocks look at an encoder too.

        What a block lacks is not counted. A parallel block counts as one in sequence, because what the branches add up
        to is the same; layers that share their weights count each, because each adds its own.
        """
        return self.num_layers * (3 if self.in_decoder and self.encoder_layers else 2) - self.absent_branches


class Site(NamedTuple):
    """Where a weight stands, as far as an initialization cares.

    Attributes:
        role: what the weight is for.
        depth: of the stack around it; empty outside a stack.
        head_dim: width of one attention head; 0 outside attention.
        dim: width of the hidden state around it.
    """

    role: Role
    depth: Depth = Depth()
    head_dim: int = 0
    dim: int = 0


class Linear(nn.Linear):
    """`x @ weightᵀ + bias` whose weight (out, in) is unset until an initialization fills it.

    Args:
        in_features, out_features, bias: as in torch.
        site: where the weight stands.
        spare: rows at the end that stand for nothing: they start at zero and get no gradient.
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True, *, site: Site, spare: int = 0) -> None:
        self.site = site
        self.spare = spare
        super().__init__(in_features, out_features, bias)

    def reset_parameters(self) -> None:
        """Leaves weight and bias unset."""

    def forward(self, rows: Tensor) -> Tensor:
        """(…, in) → (…, out)."""
        return linear(rows, self.weight, self.bias)


class Embedding(nn.Embedding):
    """A table (num_embeddings, embedding_dim) looked up by row, unset until an initialization fills it.

    Args:
        num_embeddings, embedding_dim: the table's shape.
        site: where the table stands.
        padding_index: a row that starts at zero and that looking up does not train, or None.
        spare: rows at the end that stand for nothing: they start at zero and are never looked up.
    """

    def __init__(
        self, num_embeddings: int, embedding_dim: int, *, site: Site, padding_index: int | None = None, spare: int = 0
    ) -> None:
        self.site = site
        self.spare = spare
        super().__init__(num_embeddings, embedding_dim, padding_idx=padding_index)

    def reset_parameters(self) -> None:
        """Leaves the table unset."""

    def forward(self, index: Tensor) -> Tensor:
        """Rows of the table: (…) int64 → (…, embedding_dim)."""
        return torch.embedding(self.weight, index, -1 if self.padding_idx is None else self.padding_idx)

    def check(self, index: Tensor, noun: str, remedy: str, first: int = 0) -> None:
        """Raises DataError where an index lies outside the table.

        Reading indices back from a GPU would stall it, and a compiled graph would break; there the lookup itself
        asserts.

        Args:
            index: what is about to be looked up.
            noun: what it is called, "token id".
            remedy: what to do about it, as the end of a sentence.
            first: the row that index 0 stands for.
        """
        if index.device.type != "cpu" or is_watched() or not index.numel():
            return
        lowest, highest = (int(bound) for bound in index.aminmax())
        wrong = lowest if lowest < 0 else highest
        last = self.num_embeddings - self.spare - first - 1
        if not 0 <= wrong <= last:
            raise DataError(f"{noun} {wrong} is outside 0 … {last}; {remedy}")
