"""A cache that forgets what lies outside the window of a layer.

Beltagy et al. 2020 (Longformer), arXiv:2004.05150; Jiang et al. 2023 (Mistral 7B), arXiv:2310.06825, section 2, whose
rolling buffer writes over its oldest place. Here the places of a layer lie in their order in a buffer with some room
behind them, and what is still needed goes to the front of a new one when it is full. So a kernel gets them as they are,
and each place is moved once in a while only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from zoo.errors import ConfigError
from zoo.generation.cache import Cache, CacheConfig, LaidLayer, Places
from zoo.nn.stack import Keys

SPARE = 64
"""Places of room behind a window that is narrower than this."""


@dataclass(frozen=True, kw_only=True)
class WindowedCacheConfig(CacheConfig, kind="windowed"):
    """Of layers with a window, the places in it; of the others, all places. The results are those of `growing`."""

    def check(self, windows: Sequence[int | None]) -> None:
        """Refuses stacks without a window."""
        if all(window is None for window in windows):
            raise ConfigError(
                "windowed forgets nothing here: no layer of the model has a window; leave it out", "cache"
            )

    def build(self, windows: Sequence[int | None], num_places: int | None = None) -> Cache:
        """The cache."""
        return WindowedCache(windows, num_places)

    def held(self, window: int | None, num_places: int) -> int:
        """No more than the window can still reach, and the room behind it."""
        return _room(window, num_places) or num_places


class WindowedCache(Cache):
    """Keeps of each layer what its window can still reach: at most twice the window, or the window and SPARE places.

    Args:
        windows: how many places back each layer sees; None: all.
        num_places: how many places there will be at most, where that is known.
    """

    def __init__(self, windows: Sequence[int | None], num_places: int | None = None) -> None:
        self._rows = {window: Places(_room(window, num_places), window) for window in windows}
        self._layers = [LaidLayer(_room(window, num_places), window) for window in windows]

    @property
    def length(self) -> int:
        """How many places of the row there have been."""
        return next(iter(self._rows.values())).length

    def append(self, positions_BT: Tensor, documents_BT: Tensor | None) -> None:
        """Adds the places of this call; raises DataError where documents come in some calls and not in others."""
        for row in self._rows.values():
            row.append(positions_BT, documents_BT)

    def keys(self, window: int | None) -> Keys:
        """The places that this window reaches, and those of this call."""
        return self._rows[window].keys

    def layer(self, index: int) -> LaidLayer:
        """The cache of one layer."""
        return self._layers[index]

    def reorder(self, rows_R: Tensor) -> None:
        """Row i becomes what row rows_R[i] was."""
        for row in self._rows.values():
            row.reorder(rows_R)
        for layer in self._layers:
            layer.reorder(rows_R)


def _room(window: int | None, num_places: int | None) -> int | None:
    """Places of a buffer; no more than there will be."""
    if window is None:
        return num_places
    room = window + max(window, SPARE)
    return room if num_places is None else min(room, num_places)
