"""Learned absolute positions: a table with a row for each position, added to the embeddings.

Gehring et al. 2017, arXiv:1705.03122; BERT and GPT-2 use it. RoBERTa and BART count positions from 2, since fairseq
gave padding the position of its token id, 1: their tables start with rows that no position reads (`offset`). There are
no positions past the table: asking for one is an error, never a wrapped or clamped index.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from zoo.config import setting
from zoo.nn.linear import Embedding, Site
from zoo.nn.positions.base import Positions, PositionsConfig, PositionsShape


@dataclass(frozen=True, kw_only=True)
class LearnedConfig(PositionsConfig, kind="learned"):
    """A trained table with a row for each position below `max_length`."""

    by_layer: ClassVar[bool] = False
    has_end: ClassVar[bool] = True

    offset: int = setting(0, "row of position 0; the rows before it are never read (RoBERTa and BART: 2)", minimum=0)

    def build(self, shape: PositionsShape) -> Positions:
        """The table as a module."""
        return LearnedPositions(shape.max_length, shape.embed_dim, self.offset)


class LearnedPositions(Positions):
    """hidden + table[position + offset].

    Args:
        max_length: how many positions there are.
        dim: width of the embeddings.
        offset: rows of the table before that of position 0.
    """

    def __init__(self, max_length: int, dim: int, offset: int) -> None:
        super().__init__()
        self.num_positions = max_length
        self.offset = offset
        self.table = Embedding(max_length + offset, dim, site=Site("position_embedding"))

    def embed(self, hidden_BTD: Tensor, positions_BT: Tensor) -> Tensor:
        """Adds the rows of the positions; raises DataError where one lies outside the table."""
        remedy = "shorten the input or choose a larger max_length or a scheme without a table (rotary, alibi, relative)"
        self.table.check(positions_BT, "position", remedy, self.offset)
        return hidden_BTD + self.table(positions_BT + self.offset)
