"""How foreign tensors hold the numbers of ours: rearrangements that lose nothing, each in both directions.

A rule of a mapping table names a foreign tensor and one or more of ours, a layout says how the one holds the others.
Two layouts are equal only if they are of one class: what is remembered of one must not be taken for another's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


class Layout(Protocol):
    """How a foreign tensor holds one or more of ours."""

    def __hash__(self) -> int:
        """Layouts are plain values."""

    def to_foreign(self, ours: Sequence[Tensor]) -> Tensor:
        """Our tensors as the foreign one; its shape depends on nothing but theirs."""

    def to_ours(self, foreign: Tensor, shapes: Sequence[torch.Size]) -> list[Tensor]:
        """What of the foreign tensor is which of ours, whose shapes are given."""


@dataclass(frozen=True)
class Stacked:
    """The rows of ours one after the other in one tensor; of one tensor: the tensor as it is.

    Attributes:
        transposed: whether the foreign matrix is (in, out) where ours is (out, in); vectors stay.
    """

    transposed: bool = False

    def to_foreign(self, ours: Sequence[Tensor]) -> Tensor:
        """One tensor."""
        return self._turned(ours[0] if len(ours) == 1 else torch.cat([*ours]))

    def to_ours(self, foreign: Tensor, shapes: Sequence[torch.Size]) -> list[Tensor]:
        """Its parts."""
        return [*self._turned(foreign).split([shape[0] for shape in shapes])]

    def _turned(self, tensor: Tensor) -> Tensor:
        return tensor.T if self.transposed and tensor.ndim == 2 else tensor


@dataclass(frozen=True)
class ByHead:
    """The rows of ours head by head in one tensor: all of the first head, all of the second (GPT-NeoX, BLOOM).

    Attributes:
        num_heads: how many heads each of ours has.
    """

    num_heads: int

    def to_foreign(self, ours: Sequence[Tensor]) -> Tensor:
        """One tensor."""
        return torch.cat([part.unflatten(0, (self.num_heads, -1)) for part in ours], dim=1).flatten(0, 1)

    def to_ours(self, foreign: Tensor, shapes: Sequence[torch.Size]) -> list[Tensor]:
        """Its parts."""
        parts = foreign.unflatten(0, (self.num_heads, -1)).split([s[0] // self.num_heads for s in shapes], dim=1)
        return [part.flatten(0, 1) for part in parts]


@dataclass(frozen=True)
class FirstRowsLast:
    """The first rows of each head of ours are its last ones there (DeepSeek's rotated channels).

    Attributes:
        num_heads: how many heads the tensor has.
        rows: how many rows of each head change their place.
    """

    num_heads: int
    rows: int

    def to_foreign(self, ours: Sequence[Tensor]) -> Tensor:
        """One tensor of the same shape."""
        return ours[0].unflatten(0, (self.num_heads, -1)).roll(-self.rows, dims=1).flatten(0, 1)

    def to_ours(self, foreign: Tensor, shapes: Sequence[torch.Size]) -> list[Tensor]:
        """One tensor of the same shape."""
        return [foreign.unflatten(0, (self.num_heads, -1)).roll(self.rows, dims=1).flatten(0, 1)]


@dataclass(frozen=True)
class AsRow:
    """A vector (N,) is a matrix (1, N) there (BART's and Marian's bias of the logits)."""

    def to_foreign(self, ours: Sequence[Tensor]) -> Tensor:
        """One matrix."""
        return ours[0][None]

    def to_ours(self, foreign: Tensor, shapes: Sequence[torch.Size]) -> list[Tensor]:
        """One vector."""
        return [foreign[0]]
