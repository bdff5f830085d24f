"""Keys and values of earlier calls, so that a stack computes each place of a row once.

A cache belongs to one causal stack and to the rows it was started with. Each call adds its places behind those of the
calls before. Positions and document ids of all places are kept too: position biases and masks need those of the keys.
"""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.errors import DataError


class GrowingCache:
    """A cache (`zoo.nn.stack.StackCache`) that grows as needed, for any number of layers."""

    def __init__(self) -> None:
        self._positions: Tensor | None = None
        self._documents: Tensor | None = None
        self._layers: dict[int, GrowingLayer] = {}

    @property
    def length(self) -> int:
        """How many places of the row are cached."""
        return 0 if self._positions is None else self._positions.shape[1]

    def append(self, positions_BT: Tensor, documents_BT: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Adds the places of this call.

        Args:
            positions_BT: (B or 1, T) int64 position of each place in its document.
            documents_BT: (B, T) int64 document ids, −1 padding; None: one document, no padding.

        Returns:
            Positions (B or 1, S) and documents (B, S) or None of all places so far.

        Raises:
            DataError: documents come in some calls and not in others, so that padding could not be told from text.
        """
        if self._positions is None:
            self._positions, self._documents = positions_BT, documents_BT
            return positions_BT, documents_BT
        if (documents_BT is None) != (self._documents is None):
            raise DataError("a cache takes the documents of all calls or of none: some had them and some had not")
        rows = max(len(self._positions), len(positions_BT))
        self._positions = torch.cat((self._positions.expand(rows, -1), positions_BT.expand(rows, -1)), dim=1)
        if documents_BT is not None and self._documents is not None:
            self._documents = torch.cat((self._documents, documents_BT), dim=1)
        return self._positions, self._documents

    def layer(self, index: int) -> GrowingLayer:
        """The cache of one layer."""
        return self._layers.setdefault(index, GrowingLayer())

    def reorder(self, rows_R: Tensor) -> None:
        """Row i becomes what row rows_R[i] was; a row may come several times or not at all (beam search)."""
        if self._positions is not None and len(self._positions) > 1:
            self._positions = self._positions[rows_R]
        if self._documents is not None:
            self._documents = self._documents[rows_R]
        for layer in self._layers.values():
            layer.reorder(rows_R)


class GrowingLayer:
    """Keys and values of one layer (`zoo.nn.attention.LayerCache`).

    They lie in buffers that double when they are full, so that a call writes its own places only.
    """

    def __init__(self) -> None:
        self._length = 0
        self._keys: Tensor | None = None
        self._values: Tensor | None = None

    def extend(self, k_BGSK: Tensor, v_BGSK: Tensor) -> tuple[Tensor, Tensor]:
        """Stores these keys and values, (B, G, T, K) each, and returns all so far, (B, G, S, K), oldest first."""
        length = self._length + k_BGSK.shape[2]
        self._keys = _extended(self._keys, k_BGSK, self._length)
        self._values = _extended(self._values, v_BGSK, self._length)
        self._length = length
        return self._keys[:, :, :length], self._values[:, :, :length]

    def reorder(self, rows_R: Tensor) -> None:
        """Row i becomes what row rows_R[i] was."""
        self._keys, self._values = (_reordered(part, rows_R, self._length) for part in (self._keys, self._values))


def _extended(buffer_BGCK: Tensor | None, new_BGTK: Tensor, length: int) -> Tensor:
    """A buffer whose first `length` places are the old one's, the new places behind them."""
    if buffer_BGCK is None:
        return new_BGTK
    if buffer_BGCK.requires_grad or new_BGTK.requires_grad:  # what autograd has saved must not be written over
        return torch.cat((buffer_BGCK[:, :, :length], new_BGTK), dim=2)
    rows, heads, needed = len(new_BGTK), new_BGTK.shape[1], length + new_BGTK.shape[2]
    assert buffer_BGCK.shape[:2] == (rows, heads), "a cache serves the rows it was started with"
    if needed > buffer_BGCK.shape[2]:
        grown_BGCK = new_BGTK.new_empty(rows, heads, max(needed, 2 * length), new_BGTK.shape[3])
        grown_BGCK[:, :, :length] = buffer_BGCK[:, :, :length]
        buffer_BGCK = grown_BGCK
    buffer_BGCK[:, :, length:needed] = new_BGTK
    return buffer_BGCK


def _reordered(buffer_BGCK: Tensor | None, rows_R: Tensor, length: int) -> Tensor | None:
    """These rows of a buffer, in one of the same size, so that what comes next finds its place."""
    if buffer_BGCK is None or buffer_BGCK.requires_grad or length == buffer_BGCK.shape[2]:
        return None if buffer_BGCK is None else buffer_BGCK[rows_R]
    chosen_RGCK = buffer_BGCK.new_empty(len(rows_R), *buffer_BGCK.shape[1:])
    chosen_RGCK[:, :, :length] = buffer_BGCK[:, :, :length][rows_R]
    return chosen_RGCK
