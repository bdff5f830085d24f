"""N blocks, their positional schemes, and the final norm where the placement asks for one.

A stack prepares rotation tables, bias and mask once a forward for each distinct sort of layer (one, unless `layers` in
its config changes windows, positions or kernels for some of them) and hands them to its blocks.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from torch import Tensor, nn
from torch.nn import functional

from zoo.config import setting
from zoo.errors import ConfigError
from zoo.nn.attend import KERNELS, Kernel, Request
from zoo.nn.attention import AttentionContext, LayerCache, MemoryCache, no_rotation
from zoo.nn.block import BlockInputs
from zoo.nn.layer import LayerConfig, Place, build_layer
from zoo.nn.layer_changes import changed_layers
from zoo.nn.linear import Depth
from zoo.nn.mask import AttentionMask
from zoo.nn.padding import padding_aware, tell_padding
from zoo.nn.positions import Positions, PositionsConfig, PositionsShape
from zoo.nn.residual import PLACEMENTS
from zoo.nn.sharing import OwnWeightsConfig, SharingConfig


@dataclass(frozen=True, kw_only=True)
class StackConfig(LayerConfig):
    """The shape of a stack and the layers it is made of."""

    num_layers: int = setting(4, "blocks of the stack", minimum=1, maximum=10_000)
    layers: dict[str, Any] = setting(
        {}, "changes for some layers, by Python slices of their numbers: {'3::4': {attention: {window: null}}}"
    )
    sharing: SharingConfig = setting(OwnWeightsConfig(), "which layers share their weights")

    def validate(self) -> None:
        """Refuses what no layer can be, changes that change nothing, settings of what no layer has, and bad sharing."""
        super().validate()
        layers = self.layer_configs()
        self.sharing.check(layers)
        idle = {
            "feed_forward_dim": (self.feed_forward_dim, "null"),
            "dropout.feed_forward": (self.dropout.feed_forward, 0),
        }
        for key, (value, nothing) in idle.items():
            if value and not any(layer.feed_forward.has_width for layer in layers):
                raise ConfigError(f"{value} has no effect: feed_forward is none in every layer; use {nothing}", key)

    def layer_configs(self) -> tuple[LayerConfig, ...]:
        """What each layer is; raises ConfigError where a change does not fit."""
        return changed_layers(self, self.layers, self.num_layers)

    def schemes(self, causal: bool, embedding_dim: int | None = None) -> list[Scheme]:
        """The positional scheme of each layer.

        Args:
            causal: whether queries see only earlier keys.
            embedding_dim: width of the embeddings that a scheme adds to; None: dim.
        """
        own = self.positions_shape(causal, embedding_dim)
        return [
            Scheme(layer.positions, layer.positions_shape(causal, embedding_dim) if layer.positions.by_layer else own)
            for layer in self.layer_configs()
        ]


class Scheme(NamedTuple):
    """A positional scheme and the numbers of the layers that it serves."""

    config: PositionsConfig
    shape: PositionsShape

    def build(self) -> Positions:
        """The module; raises ConfigError where the scheme cannot work in such layers."""
        self.config.check(self.shape)
        return self.config.build(self.shape)


class Keys(NamedTuple):
    """The places that the queries of a call may look at, oldest first.

    Attributes:
        positions_BS: (B or 1, S) position of each in its document.
        documents_BS: (B, S) document ids, −1 padding; None: one document, no padding.
        offset: place of the first query among them; a tensor () of int64 where one compiled graph serves all calls.
        start: place in the row of the first of them; those before it are no longer kept.
    """

    positions_BS: Tensor
    documents_BS: Tensor | None
    offset: int | Tensor = 0
    start: int = 0

    def prefix(self, prefix_BR: Tensor | None) -> Tensor | None:
        """What a prefix, which speaks of all places of the row so far, says of these; (B, S) bool."""
        if prefix_BR is None:
            return None
        kept_BS = prefix_BR[:, self.start :]
        return functional.pad(kept_BS, (0, self.positions_BS.shape[1] - kept_BS.shape[1]))


class StackCache(Protocol):
    """Keys, values, positions and document ids of earlier calls, layer by layer."""

    @property
    def length(self) -> int | Tensor:
        """How many places of the row there have been; a tensor () of int64 where one compiled graph serves all."""

    def append(self, positions_BT: Tensor, documents_BT: Tensor | None) -> None:
        """Adds the places of this call, (B or 1, T) and (B, T) each."""

    def keys(self, window: int | None) -> Keys:
        """What layers look at that see so many places back; None: all."""

    def layer(self, index: int) -> LayerCache:
        """The cache of one layer, whose keys and values are those of the places of `keys`."""


class Memory(NamedTuple):
    """What a decoder looks at besides itself.

    Attributes:
        hidden_BSD: hidden states of the encoder.
        documents_BS: their document ids, −1 padding; None: one document, no padding.
        cache: where its keys and values are kept from call to call; None: they are made anew.
    """

    hidden_BSD: Tensor
    documents_BS: Tensor | None
    cache: MemoryCache | None = None


class Sort(NamedTuple):
    """What layers have in common that can share mask, bias and rotation.

    Attributes:
        scheme: number of the positional scheme among those of the stack.
        window: how many places before and after itself a query sees; None on a side: no limit.
        kernel: what computes. features: what is asked of it beyond the plain softmax.
    """

    scheme: int
    window: tuple[int | None, int | None]
    kernel: str
    features: frozenset[str]


class Stack(nn.Module):
    """Blocks one after the other, then the final norm and dropout.

    Args:
        config: shape and parts.
        causal: whether a position sees only itself and earlier ones.
        memory_dim: width of the memory that each block also attends to; None: there is none.
        depth: of the whole model; None: the stack is all there is.
        embedding_dim: width of the embeddings that positions are added to; None: that of the stack.
    """

    def __init__(
        self,
        config: StackConfig,
        *,
        causal: bool,
        memory_dim: int | None = None,
        depth: Depth | None = None,
        embedding_dim: int | None = None,
    ) -> None:
        super().__init__()
        depth = depth or (Depth(0, config.num_layers, True) if causal else Depth(config.num_layers, 0, False))
        layers = config.layer_configs()
        depth = depth._replace(absent_branches=sum(layer.feed_forward.is_absent for layer in layers))
        self.config = config
        self.causal = causal
        schemes = config.schemes(causal, embedding_dim)
        distinct = list(dict.fromkeys(schemes))
        self.schemes = nn.ModuleList(scheme.build() for scheme in distinct)
        numbers = map(distinct.index, schemes)
        self.sorts = [_sort_of(layer, number) for layer, number in zip(layers, numbers, strict=True)]
        self.order = config.sharing.order(config.num_layers)
        firsts = [self.order.index(number) for number in range(max(self.order) + 1)]
        self.blocks = nn.ModuleList(build_layer(layers[first], Place(depth, first, memory_dim)) for first in firsts)
        placement = PLACEMENTS[config.placement]
        self.norm = config.norm.build(config.dim) if placement.needs_final_norm else nn.Identity()
        self.dropout = nn.Dropout(config.dropout.final) if config.dropout.final else nn.Identity()
        self.padding_aware = padding_aware(self)

    @property
    def positions(self) -> Positions:
        """The scheme that acts at the embedding, the same for all layers where it does anything there."""
        scheme = self.schemes[0]
        assert isinstance(scheme, Positions)
        return scheme

    def forward(
        self,
        hidden_BTD: Tensor,
        positions_BT: Tensor,
        documents_BT: Tensor | None = None,
        memory: Memory | None = None,
        *,
        prefix_BS: Tensor | None = None,
        cache: StackCache | None = None,
    ) -> Tensor:
        """(B, T, D) → (B, T, D).

        Args:
            hidden_BTD: embeddings.
            positions_BT: (B or 1, T) int64 position of each place in its document.
            documents_BT: document id of each place, −1 padding; None: one document, no padding.
            memory: what cross-attention looks at.
            prefix_BS: bool, places that see each other both ways in a causal stack.
            cache: earlier places of the same rows.
        """
        tell_padding(self.padding_aware, documents_BT)
        if cache is not None:
            cache.append(positions_BT, documents_BT)
        row = _Row(hidden_BTD, positions_BT, documents_BT, prefix_BS, memory, cache)
        inputs = [self._inputs(sort, row) for sort in self.distinct]
        for layer, (sort, number) in enumerate(zip(self.sort_numbers, self.order, strict=True)):
            hidden_BTD = self.blocks[number](hidden_BTD, inputs[sort], None if cache is None else cache.layer(layer))
        return self.dropout(self.norm(hidden_BTD))

    @property
    def sorts(self) -> list[Sort]:
        """The sort of each layer; setting them decides what the stack prepares from then on."""
        return self._sorts

    @sorts.setter
    def sorts(self, sorts: list[Sort]) -> None:
        """One for each layer."""
        self._sorts = sorts
        self.distinct = list(dict.fromkeys(sorts))
        self.sort_numbers = [self.distinct.index(sort) for sort in sorts]

    @property
    def windows(self) -> list[int | None]:
        """How many places back each layer sees; None: all."""
        return [sort.window[0] for sort in self.sorts]

    def kernel(self, name: str) -> Kernel:
        """The kernel of that name; who counts what a forward takes elsewhere puts another in its place."""
        return KERNELS[name]

    def _inputs(self, sort: Sort, row: _Row) -> BlockInputs:
        """What the layers of one sort share."""
        scheme, dtype = self.schemes[sort.scheme], row.hidden_BTD.dtype
        assert isinstance(scheme, Positions)
        keys = row.keys(sort.window[0])
        mask = AttentionMask(
            self.causal, keys.prefix(row.prefix_BS), row.documents_BT, keys.documents_BS, sort.window, keys.offset
        )
        bias = scheme.bias(row.positions_BT, keys.positions_BS, dtype)
        request = Request(mask, bias, keys.positions_BS.shape[1], row.hidden_BTD, sort.features)
        rotate = functools.partial(scheme.rotate, tables=scheme.prepare(row.positions_BT, dtype))
        kernel = self.kernel(sort.kernel).pick(request)
        own = AttentionContext(kernel, kernel.prepare(request), rotate)
        return BlockInputs(own) if row.memory is None else self._with_memory(own, sort, row, row.memory)

    def _with_memory(self, own: AttentionContext, sort: Sort, row: _Row, memory: Memory) -> BlockInputs:
        """What the layers of one sort share that attend to a memory too."""
        features = sort.features - {"bias"}  # positions say nothing of how far a memory is
        mask = _memory_mask(row.hidden_BTD, row.documents_BT, memory)
        request = Request(mask, None, memory.hidden_BSD.shape[1], row.hidden_BTD, features)
        kernel = self.kernel(sort.kernel).pick(request)
        cross = AttentionContext(kernel, kernel.prepare(request), no_rotation)
        if memory.cache is not None:
            cross = cross._replace(recall=memory.cache.recall)
        return BlockInputs(own, memory.hidden_BSD, cross)


class _Row(NamedTuple):
    """The rows of one forward, as every sort of layer needs them."""

    hidden_BTD: Tensor
    positions_BT: Tensor
    documents_BT: Tensor | None
    prefix_BS: Tensor | None
    memory: Memory | None
    cache: StackCache | None

    def keys(self, window: int | None) -> Keys:
        """The places that a query may look at which sees so many back."""
        return Keys(self.positions_BT, self.documents_BT) if self.cache is None else self.cache.keys(window)


def _sort_of(layer: LayerConfig, scheme: int) -> Sort:
    """A window is as wide on both sides in causal stacks too: there it limits a prefix, which sees both ways."""
    window = layer.attention.window
    return Sort(scheme, (window, window), layer.attention.kernel, frozenset(layer.kernel_features))


def _memory_mask(hidden_BTD: Tensor, documents_BT: Tensor | None, memory: Memory) -> AttentionMask:
    """Who may see what of the memory: a document sees its own part only."""
    query_documents, key_documents = documents_BT, memory.documents_BS
    if query_documents is None and key_documents is not None:
        query_documents = key_documents.new_zeros(hidden_BTD.shape[:2])
    if key_documents is None and query_documents is not None:
        key_documents = query_documents.new_zeros(memory.hidden_BSD.shape[:2])
    return AttentionMask(query_documents=query_documents, key_documents=key_documents)
