"""Who may look at whom: a description that becomes a tensor only at the kernel.

Three independent restrictions, all of which must allow a pair (query, key):

- causal: a key no later than the query; positions of a prefix see each other both ways (prefix language models).
- documents: query and key belong to the same document; −1 is padding, which sees nothing and is seen by nothing.
- window: the key is at most `left` places before and `right` places after the query.

Order and distance are those of places in the row, not of position ids, so packed rows and caches need no special case.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class AttentionMask:
    """Restrictions on the pairs (query, key) of one attention.

    Raises ValueError where a part would go unheard: documents of one side only, or a prefix without `causal`.

    Attributes:
        causal: whether a query sees only its own place and earlier ones.
        prefix: (B, S) bool, places that see each other both ways although `causal`; None: none.
        query_documents: (B, T) int64, document id of each query, −1 padding; None: one document, no padding.
        key_documents: (B, S) int64, likewise for the keys.
        window: (left, right), how many places before and after itself a query sees; None on a side: no limit.
        offset: place of the first query among the keys (how many cached ones lie before it); a tensor () of int64 where
            one compiled graph serves all calls.
    """

    causal: bool = False
    prefix: Tensor | None = None
    query_documents: Tensor | None = None
    key_documents: Tensor | None = None
    window: tuple[int | None, int | None] = (None, None)
    offset: int | Tensor = 0

    def __post_init__(self) -> None:
        if (self.query_documents is None) != (self.key_documents is None):
            raise ValueError("documents of queries and of keys go together; give both or neither")
        if self.prefix is not None and not self.causal:
            raise ValueError("a prefix sees both ways in a causal mask; without causal everything does")

    def __and__(self, other: AttentionMask) -> AttentionMask:
        """The mask that allows what both allow.

        Raises:
            ValueError: both describe documents, both are causal and one has a prefix, or their offsets differ.
        """
        if self.query_documents is not None and other.query_documents is not None:
            raise ValueError("only one of two combined masks may describe documents")
        if self.causal and other.causal and (self.prefix is not None or other.prefix is not None):
            raise ValueError("only one of two combined masks may be causal where one has a prefix")
        if self.offset != other.offset:
            raise ValueError(f"masks with offsets {self.offset} and {other.offset} speak of different queries")
        documents = self if self.query_documents is not None else other
        return replace(
            self,
            causal=self.causal or other.causal,
            prefix=self.prefix if self.prefix is not None else other.prefix,
            query_documents=documents.query_documents,
            key_documents=documents.key_documents,
            window=(_narrower(self.window[0], other.window[0]), _narrower(self.window[1], other.window[1])),
        )

    @property
    def is_plain_causal(self) -> bool:
        """Causal and nothing else, from the first place of the row."""
        return (
            self.causal
            and self.prefix is None
            and self.query_documents is None
            and self.window == (None, None)
            and isinstance(self.offset, int)
            and self.offset == 0
        )

    def dense(self, num_queries: int, num_keys: int, device: torch.device) -> Tensor | None:
        """(B or 1, 1, T, S) bool, True where the query sees the key; None where everything sees everything.

        Raises:
            ValueError: a prefix that does not speak of all keys.
        """
        if self.prefix is not None and self.prefix.shape[1] != num_keys:
            raise ValueError(f"the prefix is {self.prefix.shape[1]} places long, the row {num_keys}")
        left, right = self.window
        most_before = self.offset + num_queries - 1 if isinstance(self.offset, int) else None
        most_after = num_keys - 1 - self.offset if isinstance(self.offset, int) else None
        orders = self.causal and _restricts(0, most_after)
        has_right = _restricts(right, most_after) and (self.prefix is not None or not self.causal)
        if not (orders or has_right or _restricts(left, most_before) or self.query_documents is not None):
            return None
        query_T1 = (self.offset + torch.arange(num_queries, device=device))[:, None]
        key_1S = torch.arange(num_keys, device=device)[None, :]
        restrictions: list[Tensor] = []
        if orders:
            visible = (key_1S <= query_T1)[None]
            if self.prefix is not None:
                query_prefix_BT = self.prefix[:, self.offset : self.offset + num_queries]
                visible = visible | (query_prefix_BT[:, :, None] & self.prefix[:, None, :])
            restrictions.append(visible)
        if self.query_documents is not None and self.key_documents is not None:
            query_BT1, key_B1S = self.query_documents[:, :, None], self.key_documents[:, None, :]
            restrictions.append((query_BT1 == key_B1S) & (query_BT1 >= 0))
        if left is not None and _restricts(left, most_before):
            restrictions.append((query_T1 - key_1S <= left)[None])
        if right is not None and has_right:
            restrictions.append((key_1S - query_T1 <= right)[None])
        visible_BTS = restrictions[0]
        for restriction in restrictions[1:]:
            visible_BTS = visible_BTS & restriction
        return visible_BTS[:, None]


def _restricts(limit: int | None, most: int | None) -> bool:
    """Whether a limit can keep any key out, where none is farther away than `most`; None: not known, perhaps so."""
    return limit is not None and (most is None or limit < most)


def _narrower(one: int | None, other: int | None) -> int | None:
    if one is None or other is None:
        return one if other is None else other
    return min(one, other)
