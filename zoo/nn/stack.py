"""N blocks, their positional schemes, and the final norm where the placement asks for one.

A stack prepares rotation tables, bias and mask once a forward for each distinct sort of layer (one, unless `layers` in
its config changes windows, positions or kernels for some of them) and hands them to its blocks.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from torch import Tensor, nn

from zoo.config import setting
from zoo.errors import ConfigError
from zoo.nn.attend import KERNELS, Kernel, Request
from zoo.nn.attention import AttentionContext, LayerCache, no_rotation
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


class StackCache(Protocol):
    """Keys, values, positions and document ids of earlier calls, layer by layer."""

    @property
    def length(self) -> int:
        """How many places of the row are cached."""

    def append(self, positions_BT: Tensor, documents_BT: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Adds the places of this call and returns positions and documents of all keys, (B, S) each."""

    def layer(self, index: int) -> LayerCache:
        """The cache of one layer."""


class Memory(NamedTuple):
    """What a decoder looks at besides itself.

    Attributes:
        hidden_BSD: hidden states of the encoder.
        documents_BS: their document ids, −1 padding; None: one document, no padding.
    """

    hidden_BSD: Tensor
    documents_BS: Tensor | None


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
        offset, key_positions, key_documents = 0, positions_BT, documents_BT
        if cache is not None:
            offset = cache.length
            key_positions, key_documents = cache.append(positions_BT, documents_BT)
        mask = AttentionMask(self.causal, prefix_BS, documents_BT, key_documents, offset=offset)
        row = _Row(hidden_BTD, positions_BT, key_positions, mask)
        cross = _memory_mask(hidden_BTD, documents_BT, memory)
        inputs = {sort: self._inputs(sort, row, memory, cross) for sort in dict.fromkeys(self.sorts)}
        for layer, (sort, number) in enumerate(zip(self.sorts, self.order, strict=True)):
            hidden_BTD = self.blocks[number](hidden_BTD, inputs[sort], None if cache is None else cache.layer(layer))
        return self.dropout(self.norm(hidden_BTD))

    def kernel(self, name: str) -> Kernel:
        """The kernel of that name; who counts what a forward takes elsewhere puts another in its place."""
        return KERNELS[name]

    def _inputs(self, sort: Sort, row: _Row, memory: Memory | None, cross: AttentionMask) -> BlockInputs:
        """What the layers of one sort share."""
        scheme, dtype = self.schemes[sort.scheme], row.hidden_BTD.dtype
        assert isinstance(scheme, Positions)
        bias = scheme.bias(row.positions_BT, row.key_positions_BS, dtype)
        mask = row.mask & AttentionMask(window=sort.window, offset=row.mask.offset)
        request = Request(mask, bias, row.key_positions_BS.shape[1], row.hidden_BTD, sort.features)
        rotate = functools.partial(scheme.rotate, tables=scheme.prepare(row.positions_BT, dtype))
        own = _context(self.kernel(sort.kernel), request, rotate)
        if memory is None:
            return BlockInputs(own)
        features = sort.features - {"bias"}  # positions say nothing of how far a memory is
        request = Request(cross, None, memory.hidden_BSD.shape[1], row.hidden_BTD, features)
        return BlockInputs(own, memory.hidden_BSD, _context(self.kernel(sort.kernel), request, no_rotation))


class _Row(NamedTuple):
    """The rows of one forward, as every sort of layer needs them."""

    hidden_BTD: Tensor
    positions_BT: Tensor
    key_positions_BS: Tensor
    mask: AttentionMask


def _sort_of(layer: LayerConfig, scheme: int) -> Sort:
    """A window is as wide on both sides in causal stacks too: there it limits a prefix, which sees both ways."""
    window = layer.attention.window
    return Sort(scheme, (window, window), layer.attention.kernel, frozenset(layer.kernel_features))


def _context(kernel: Kernel, request: Request, rotate: Any) -> AttentionContext:
    kernel = kernel.pick(request)
    return AttentionContext(kernel, kernel.prepare(request), rotate)


def _memory_mask(hidden_BTD: Tensor, documents_BT: Tensor | None, memory: Memory | None) -> AttentionMask:
    """Who may see what of the memory: a document sees its own part only."""
    if memory is None:
        return AttentionMask()
    query_documents, key_documents = documents_BT, memory.documents_BS
    if query_documents is None and key_documents is not None:
        query_documents = key_documents.new_zeros(hidden_BTD.shape[:2])
    if key_documents is None and query_documents is not None:
        key_documents = query_documents.new_zeros(memory.hidden_BSD.shape[:2])
    return AttentionMask(query_documents=query_documents, key_documents=key_documents)
