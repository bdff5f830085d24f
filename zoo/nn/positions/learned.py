"""Learned absolute positions: a table with a row for each position, added to the embeddings.

Gehring et al. 2017, arXiv:1705.03122; BERT and GPT-2 use it. There are no positions past the table: asking for one is
an error, never a wrapped or clamped index.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from zoo.nn.linear import Embedding, Site
from zoo.nn.positions.base import Positions, PositionsConfig, PositionsShape


@dataclass(frozen=True, kw_only=True)
class LearnedConfig(PositionsConfig, kind="learned"):
    """A trained table of `max_length` rows."""

    by_layer: ClassVar[bool] = False

    def build(self, shape: PositionsShape) -> Positions:
        """The table as a module."""
        return LearnedPositions(shape.max_length, shape.dim)


class LearnedPositions(Positions):
    """hidden + table[position].

    Args:
        max_length: rows of the table.
        dim: width D.
    """

    def __init__(self, max_length: int, dim: int) -> None:
        super().__init__()
        self.num_positions = max_length
        self.table = Embedding(max_length, dim, site=Site("position_embedding"))

    def embed(self, hidden_BTD: Tensor, positions_BT: Tensor) -> Tensor:
        """Adds the rows of the positions; raises DataError where one lies outside the table."""
        remedy = "shorten the input or choose a larger max_length or a scheme without a table (rotary, alibi, relative)"
        self.table.check(positions_BT, "position", remedy)
        return hidden_BTD + self.table(positions_BT)
