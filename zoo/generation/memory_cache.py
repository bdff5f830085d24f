"""Keys and values of what a decoder looks at beside itself: projected in the first call, the same in all others.

They depend on the memory and on the weights of an attention only, so layers that share their weights share them too.
"""

from __future__ import annotations

from torch import Tensor

from zoo.nn.attention import Attention
from zoo.nn.stack import Memory


class MemoryCache:
    """A cache (`zoo.nn.attention.MemoryCache`) for one memory."""

    def __init__(self) -> None:
        self._kept: dict[Attention, tuple[Tensor, Tensor]] = {}

    def recall(self, attention: Attention, memory_BSD: Tensor) -> tuple[Tensor, Tensor]:
        """Keys (B, G, S, K) and values (B, G, S, V) of the memory, as this attention projects it."""
        found = self._kept.get(attention)
        if found is None:
            found = self._kept[attention] = attention.of_memory(memory_BSD)
        return found

    def selected(self, rows_R: Tensor) -> MemoryCache:
        """The cache for these rows of the memory."""
        chosen = MemoryCache()
        chosen._kept = {attention: (k[rows_R], v[rows_R]) for attention, (k, v) in self._kept.items()}
        return chosen


def remembered(memory: Memory) -> Memory:
    """The memory with a cache of its own."""
    return memory._replace(cache=MemoryCache())


def selected(memory: Memory, rows_R: Tensor) -> Memory:
    """These rows of a memory, which may come several times or not at all, and of its cache."""
    hidden_BSD, documents_BS, cache = memory
    documents_BS = None if documents_BS is None else documents_BS[rows_R]
    return Memory(hidden_BSD[rows_R], documents_BS, cache.selected(rows_R) if isinstance(cache, MemoryCache) else None)
