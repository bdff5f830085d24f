"""Keys and values of earlier calls, so that a stack computes each place of a row once.

A cache belongs to one causal stack and to the rows it was started with. Each call adds its places behind those of the
calls before. Positions and document ids of all places are kept too: position biases and masks need those of the keys.

Which cache is a choice by `kind`, one file a kind. Here: the one that grows. It gives the kernel the places there are
and no others, so that a single query that sees them all needs no mask.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from zoo.config import Config
from zoo.errors import DataError
from zoo.nn.attention import LayerCache
from zoo.nn.stack import Keys
from zoo.registry import Choice

MOST_RESERVED = 4096
"""Places behind a prompt that memory is laid out for before they are there; what becomes longer takes more then."""


class Cache:
    """A cache (`zoo.nn.stack.StackCache`) whose rows can be put in another order; the base of the kinds.

    Attributes:
        is_static: whether all that changes from call to call is the numbers in tensors that stay the same, so that
            calls of the same shapes do the same operations (`recording.py`).
    """

    is_static: ClassVar[bool] = False

    @property
    def length(self) -> int | Tensor:
        """How many places of the row there have been."""
        raise NotImplementedError

    def append(self, positions_BT: Tensor, documents_BT: Tensor | None) -> None:
        """Adds the places of this call.

        Args:
            positions_BT: (B or 1, T) int64 position of each place in its document.
            documents_BT: (B, T) int64 document ids, −1 padding; None: one document, no padding.

        Raises:
            DataError: documents come in some calls and not in others, so that padding could not be told from text.
        """
        raise NotImplementedError

    def keys(self, window: int | None) -> Keys:
        """What layers look at that see so many places back; None: all."""
        raise NotImplementedError

    def layer(self, index: int) -> LayerCache:
        """The cache of one layer."""
        raise NotImplementedError

    def reorder(self, rows_R: Tensor) -> None:
        """Row i becomes what row rows_R[i] was; a row may come several times or not at all (beam search).

        Args:
            rows_R: (R,) int64; R may be another number than that of the rows so far.
        """
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class CacheConfig(Config, Choice, noun="cache"):
    """How keys and values are kept while a text is written."""

    def check(self, windows: Sequence[int | None]) -> None:
        """Raises ConfigError where it does nothing that `growing` does not.

        Args:
            windows: how many places back each layer of the stack sees; None: all.
        """

    def check_room(self, num_places: int) -> None:
        """Raises ConfigError where it cannot hold so many places."""

    def reserved(self, length: int, num_places: int) -> int:
        """For how many places memory is laid out with a prompt of this length, where there may be `num_places`."""
        return min(num_places, length + MOST_RESERVED)

    def held(self, window: int | None, num_places: int) -> int:
        """Of so many places, how many a layer holds that sees `window` places back; None: it sees all."""
        return num_places

    def build(self, windows: Sequence[int | None], num_places: int | None = None) -> Cache:
        """An empty cache.

        Args:
            windows: how many places back each layer of the stack sees; None: all (`zoo.nn.stack.Stack.windows`).
            num_places: how many places there will be at most, where that is known.

        Raises:
            ConfigError: the settings do not suffice for so many places.
        """
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class GrowingCacheConfig(CacheConfig, kind="growing"):
    """All places, in memory that is laid out at once where they are known and not too many, and doubles behind."""

    def build(self, windows: Sequence[int | None], num_places: int | None = None) -> Cache:
        """The cache."""
        return GrowingCache(num_places)


class GrowingCache(Cache):
    """Keeps everything, for any number of layers.

    Args:
        num_places: how many places there will be, where that is known; more are possible.
    """

    def __init__(self, num_places: int | None = None) -> None:
        self._num_places = num_places
        self._row = Places(num_places)
        self._layers: dict[int, LaidLayer] = {}

    @property
    def length(self) -> int:
        """How many places are cached."""
        return self._row.length

    def append(self, positions_BT: Tensor, documents_BT: Tensor | None) -> None:
        """Adds the places of this call; raises DataError where documents come in some calls and not in others."""
        self._row.append(positions_BT, documents_BT)

    def keys(self, window: int | None) -> Keys:
        """All places, whatever the window."""
        return self._row.keys

    def layer(self, index: int) -> LaidLayer:
        """The cache of one layer."""
        if index not in self._layers:
            self._layers[index] = LaidLayer(self._num_places)
        return self._layers[index]

    def reorder(self, rows_R: Tensor) -> None:
        """Row i becomes what row rows_R[i] was."""
        self._row.reorder(rows_R)
        for layer in self._layers.values():
            layer.reorder(rows_R)


class Places:
    """Positions and documents of the places of a row.

    Args:
        room: how many places there will be, where that is known; more are possible.
        keep: how many places are still needed when new ones come; None: all.
    """

    def __init__(self, room: int | None = None, keep: int | None = None) -> None:
        self.length = 0
        self.keys = Keys(torch.empty(0), None)
        self._positions, self._documents = Laid(1, room, keep), Laid(1, room, keep)
        self._with_documents = False

    def append(self, positions_BT: Tensor, documents_BT: Tensor | None) -> None:
        """Adds places; `keys` are those that they may look at."""
        check_documents(self.length > 0, self._with_documents, documents_BT)
        self._with_documents = documents_BT is not None
        self._positions.widen(len(positions_BT))
        positions_BS = self._positions.extend(positions_BT)
        documents_BS = None if documents_BT is None else self._documents.extend(documents_BT)
        offset = positions_BS.shape[1] - positions_BT.shape[1]
        self.keys = Keys(positions_BS, documents_BS, offset, self.length - offset)
        self.length += positions_BT.shape[1]

    def reorder(self, rows_R: Tensor) -> None:
        """Row i becomes what row rows_R[i] was."""
        self._positions.reorder(rows_R)
        self._documents.reorder(rows_R)


class LaidLayer:
    """Keys and values of one layer (`zoo.nn.attention.LayerCache`).

    Args:
        room: how many places there will be, where that is known; more are possible.
        keep: how many places are still needed when new ones come; None: all.
    """

    def __init__(self, room: int | None = None, keep: int | None = None) -> None:
        self._keys, self._values = Laid(2, room, keep), Laid(2, room, keep)

    def extend(self, k_BGSK: Tensor, v_BGSV: Tensor) -> tuple[Tensor, Tensor]:
        """Stores these keys and values, (B, G, T, K) and (B, G, T, V), and returns all that are kept, (B, G, S, …)."""
        return self._keys.extend(k_BGSK), self._values.extend(v_BGSV)

    def reorder(self, rows_R: Tensor) -> None:
        """Row i becomes what row rows_R[i] was."""
        self._keys.reorder(rows_R)
        self._values.reorder(rows_R)


class Laid:
    """Tensors of one call after the other, laid end to end along an axis, oldest first.

    They lie in a buffer; what is full is laid anew, so that what was handed out stays as it was.

    Args:
        axis: along which the tensors follow each other.
        room: places that there will be, for which buffers are made, or for a part of many; None: not known.
        keep: of the places, how many of the latest are still needed when new ones come; None: all.
    """

    def __init__(self, axis: int, room: int | None = None, keep: int | None = None) -> None:
        self._axis, self._room, self._keep = axis, room or 0, keep
        self._start, self._stop = 0, 0
        self._buffer: Tensor | None = None

    def extend(self, new: Tensor) -> Tensor:
        """Lays a tensor behind those that are still needed, and returns these and it."""
        count = new.shape[self._axis]
        if self._keep is not None:
            self._start = max(self._start, self._stop - self._keep)
        if self._buffer is None or self._stop + count > self._buffer.shape[self._axis] or self._on_tape(new):
            return self._lay_anew(new, count)
        assert self._buffer.shape[0] == new.shape[0], "a cache serves the rows it was started with"
        self._buffer.narrow(self._axis, self._stop, count).copy_(new)
        self._stop += count
        return self._buffer.narrow(self._axis, self._start, self._stop - self._start)

    def _on_tape(self, new: Tensor) -> bool:
        """Whether autograd has saved something that must not be written over."""
        return torch.is_grad_enabled() and (
            new.requires_grad or (self._buffer is not None and self._buffer.requires_grad)
        )

    def _lay_anew(self, new: Tensor, count: int) -> Tensor:
        """A new buffer with what is still needed, and the tensor behind it."""
        kept = None if self._buffer is None else self._buffer.narrow(self._axis, self._start, self._stop - self._start)
        length = count + (0 if kept is None else kept.shape[self._axis])
        whole = new if kept is None else torch.cat((kept, new), dim=self._axis)
        self._start, self._stop = 0, length
        if self._on_tape(new):
            self._buffer = whole
            return whole
        if self._keep is not None and length > self._room:  # a long prompt: only its end is needed later
            self._start, self._stop = 0, min(self._keep, length)
            tail = whole.narrow(self._axis, length - self._stop, self._stop)
            self._buffer = _with_room(tail, self._axis, self._room)
            return whole
        more = length if kept is None else 2 * length
        room = more if length > self._room else min(self._room, max(length + MOST_RESERVED, more))
        self._buffer = _with_room(whole, self._axis, room)
        return self._buffer.narrow(self._axis, 0, length)

    def widen(self, rows: int) -> None:
        """Makes one row that stands for all of them into so many."""
        if self._buffer is not None and len(self._buffer) == 1 < rows:
            self._buffer = self._buffer.expand(rows, *self._buffer.shape[1:]).contiguous()

    def reorder(self, rows_R: Tensor) -> None:
        """Row i becomes what row rows_R[i] was; one row that stands for all stays."""
        if self._buffer is None or (self._axis == 1 and len(self._buffer) == 1):
            return
        needed = self._buffer.narrow(self._axis, self._start, self._stop - self._start)
        chosen = needed.index_select(0, rows_R)
        room = self._buffer.shape[self._axis]
        self._start, self._stop = 0, chosen.shape[self._axis]
        self._buffer = chosen if chosen.requires_grad else _with_room(chosen, self._axis, room)


def _with_room(laid: Tensor, axis: int, room: int) -> Tensor:
    """A buffer of so many places that begins with these; they themselves where there is no more room."""
    length = laid.shape[axis]
    if room <= length:
        return laid
    buffer = laid.new_empty(*laid.shape[:axis], room, *laid.shape[axis + 1 :])
    buffer.narrow(axis, 0, length).copy_(laid)
    return buffer


def check_documents(begun: bool, had_documents: bool, documents_BT: Tensor | None) -> None:
    """Raises DataError where documents come in some calls and not in others: padding could not be told from text."""
    if begun and (documents_BT is not None) != had_documents:
        raise DataError("a cache takes the documents of all calls or of none: some had them and some had not")
