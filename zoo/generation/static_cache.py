"""A cache of a fixed length whose shapes never change, for a graph that is compiled once and serves all steps.

Where a place is written and how many there are is told by a tensor, not by shapes; places that are not written yet lie
behind every query, so that the causal mask hides them. The price without a compiler: a kernel reads all places and
always has a mask. Pope et al. 2022, arXiv:2211.05102, section 3.3 (fixed buffers); the same idea as transformers'
StaticCache.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from zoo.batch import PADDING_DOCUMENT
from zoo.config import setting
from zoo.errors import ConfigError, DataError
from zoo.generation.cache import Cache, CacheConfig, check_documents
from zoo.nn.stack import Keys
from zoo.nn.watched import is_watched

DEFAULT_LENGTH = 1024
"""Places where nobody says how many there will be."""


@dataclass(frozen=True, kw_only=True)
class StaticCacheConfig(CacheConfig, kind="static"):
    """All places, in buffers of a fixed length."""

    length: int | None = setting(
        None,
        f"places of the buffers; null: prompt and new tokens, or {DEFAULT_LENGTH} where they are not known",
        minimum=1,
    )

    def reserved(self, length: int, num_places: int) -> int:
        """All places of the buffers."""
        return self.length or num_places

    def check_room(self, num_places: int) -> None:
        """Refuses buffers that are too short."""
        if self.length is not None and num_places > self.length:
            raise ConfigError(
                f"{self.length} places do not hold the {num_places} of prompt and new tokens; set at least "
                f"{num_places}, or null",
                "cache.length",
            )

    def build(self, windows: Sequence[int | None], num_places: int | None = None) -> Cache:
        """The cache; raises ConfigError where it is too short."""
        self.check_room(num_places or 0)
        return StaticCache(self.length or num_places or DEFAULT_LENGTH, len(windows))


class StaticCache(Cache):
    """Buffers for so many places.

    The first call makes the buffers, in the shapes and dtypes that it finds; all others write into them. So call once
    (with the prompt) before what is compiled.

    Args:
        num_places: of the buffers.
        num_layers: of the stack.
    """

    is_static: ClassVar[bool] = True

    def __init__(self, num_places: int, num_layers: int) -> None:
        self.num_places = num_places
        self._positions: Tensor | None = None
        self._documents: Tensor | None = None
        self._length = torch.zeros((), dtype=torch.int64)
        self._places_T = torch.zeros(0, dtype=torch.int64)
        self._layers = [StaticLayer(self) for _ in range(num_layers)]

    @property
    def length(self) -> Tensor:
        """() int64, how many places are written."""
        return self._length

    @property
    def places(self) -> Tensor:
        """(T,) int64, where the places of this call go."""
        return self._places_T

    def append(self, positions_BT: Tensor, documents_BT: Tensor | None) -> None:
        """Adds the places of this call.

        Raises:
            DataError: documents come in some calls and not in others, or the buffers are full (in a compiled graph
                torch itself refuses the index).
        """
        check_documents(self._positions is not None, self._documents is not None, documents_BT)
        count = positions_BT.shape[1]
        if not is_watched() and int(self._length) + count > self.num_places:
            raise DataError(
                f"a static cache of {self.num_places} places has {int(self._length)} and cannot take {count} more; "
                "give it a greater length (cache.length)"
            )
        if self._positions is None:
            self._length = self._length.to(positions_BT.device)
            self._positions = positions_BT.new_zeros(len(positions_BT), self.num_places)
            if documents_BT is not None:
                self._documents = documents_BT.new_full((len(documents_BT), self.num_places), PADDING_DOCUMENT)
        if len(self._positions) < len(positions_BT):
            self._positions = self._positions.expand(len(positions_BT), -1).contiguous()
        self._places_T = self._length + torch.arange(count, device=positions_BT.device)
        self._length += count
        self._positions.index_copy_(1, self._places_T, positions_BT.expand(len(self._positions), -1))
        if documents_BT is not None and self._documents is not None:
            self._documents.index_copy_(1, self._places_T, documents_BT)

    def keys(self, window: int | None) -> Keys:
        """All places of the buffers, whatever the window."""
        assert self._positions is not None
        return Keys(self._positions, self._documents, self._places_T[0])

    def layer(self, index: int) -> StaticLayer:
        """The cache of one layer."""
        return self._layers[index]

    def reorder(self, rows_R: Tensor) -> None:
        """Row i becomes what row rows_R[i] was."""
        if self._positions is not None and len(self._positions) > 1:
            self._positions = self._positions[rows_R]
        if self._documents is not None:
            self._documents = self._documents[rows_R]
        for layer in self._layers:
            layer.reorder(rows_R)


class StaticLayer:
    """Keys and values of one layer (`zoo.nn.attention.LayerCache`).

    Args:
        cache: which knows where they go.
    """

    def __init__(self, cache: StaticCache) -> None:
        self._cache = cache
        self._keys: Tensor | None = None
        self._values: Tensor | None = None

    def extend(self, k_BGSK: Tensor, v_BGSV: Tensor) -> tuple[Tensor, Tensor]:
        """Stores these keys and values, (B, G, T, K) and (B, G, T, V), and returns the buffers, (B, G, S, …)."""
        self._keys = self._written(self._keys, k_BGSK)
        self._values = self._written(self._values, v_BGSV)
        return self._keys, self._values

    def _written(self, buffer_BGSK: Tensor | None, new_BGTK: Tensor) -> Tensor:
        if buffer_BGSK is None:  # zeros: what a mask hides must be a number
            rows, heads, _, width = new_BGTK.shape
            buffer_BGSK = new_BGTK.new_zeros(rows, heads, self._cache.num_places, width)
        if torch.is_grad_enabled() and (buffer_BGSK.requires_grad or new_BGTK.requires_grad):
            return buffer_BGSK.index_copy(2, self._cache.places, new_BGTK)  # autograd's must not be written over
        return buffer_BGSK.index_copy_(2, self._cache.places, new_BGTK)

    def reorder(self, rows_R: Tensor) -> None:
        """Row i becomes what row rows_R[i] was."""
        if self._keys is not None and self._values is not None:
            self._keys, self._values = self._keys[rows_R], self._values[rows_R]
