"""Which layers of a stack share their weights.

All layers one block: ALBERT, Lan et al. 2019, arXiv:1909.11942. Several blocks over and over: looped Transformers
(Universal Transformers, Dehghani et al. 2018, arXiv:1807.03819). The three orders: Takase & Kiyono 2021,
arXiv:2104.06022, figure 1. Each layer keeps its own cache and place in the stack; only weights are shared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from zoo.config import Config, difference, setting
from zoo.errors import ConfigError
from zoo.nn.layer import LayerConfig
from zoo.registry import Choice


@dataclass(frozen=True, kw_only=True)
class SharingConfig(Config, Choice, noun="sharing"):
    """Which layers share their weights."""

    def order(self, num_layers: int) -> list[int]:
        """For each layer the number of the block it runs; blocks are numbered in the order of first use."""
        raise NotImplementedError

    def check(self, layers: Sequence[LayerConfig]) -> None:
        """Raises ConfigError where layers that would share their weights differ, or are what only one layer can be."""
        order = self.order(len(layers))
        self._check_alike(layers, order)
        if order == [*range(len(layers))]:
            return
        for layer in layers:
            for key, is_what, remedy in layer.unshareable():
                raise ConfigError(
                    f"{is_what}, which layers that share their weights (sharing: {self.kind}) cannot have; {remedy}, "
                    "or sharing: none",
                    key,
                )

    def _check_alike(self, layers: Sequence[LayerConfig], order: list[int]) -> None:
        for layer, block in enumerate(order):
            first = order.index(block)
            if layers[first] == layers[layer]:
                continue
            found = difference(layers[first], layers[layer])
            # where a kind differs, fields that only one of the two has say less
            for key, one, other in sorted(found, key=lambda entry: not f".{entry[0]}".endswith(".kind")):
                raise ConfigError(
                    f"{self.kind!r} has layers {first} and {layer} share their weights, but `layers` makes them "
                    f"differ in {key}: {one!r} and {other!r}",
                    "sharing",
                )


@dataclass(frozen=True, kw_only=True)
class OwnWeightsConfig(SharingConfig, kind="none"):
    """Every layer has weights of its own."""

    def order(self, num_layers: int) -> list[int]:
        """0, 1, 2, …"""
        return list(range(num_layers))


@dataclass(frozen=True, kw_only=True)
class AllSharedConfig(SharingConfig, kind="all"):
    """Every layer is the same block (ALBERT)."""

    def order(self, num_layers: int) -> list[int]:
        """0, 0, 0, …"""
        return [0] * num_layers

    def check(self, layers: Sequence[LayerConfig]) -> None:
        """Also refuses a single layer, which has nobody to share with."""
        if len(layers) == 1:
            raise ConfigError("'all' has nothing to share with num_layers=1; use none, or more layers", "sharing")
        super().check(layers)


@dataclass(frozen=True, kw_only=True)
class _SeveralBlocksConfig(SharingConfig):
    num_blocks: int = setting(2, "blocks with weights of their own, a divisor of num_layers", minimum=2)

    def check(self, layers: Sequence[LayerConfig]) -> None:
        """Also refuses a number of blocks that does not divide the layers, or leaves nothing to share."""
        if len(layers) % self.num_blocks or len(layers) == self.num_blocks:
            legal = [n for n in range(2, len(layers)) if len(layers) % n == 0]
            raise ConfigError(
                f"{self.num_blocks} blocks cannot be shared by num_layers={len(layers)} layers "
                f"(legal: {', '.join(map(str, legal)) or 'none; use all or none'})",
                "sharing.num_blocks",
            )
        super().check(layers)


@dataclass(frozen=True, kw_only=True)
class SequenceSharingConfig(_SeveralBlocksConfig, kind="sequence"):
    """Neighbours share: 0 0 0 1 1 1."""

    def order(self, num_layers: int) -> list[int]:
        """Each block several times, then the next."""
        return [layer * self.num_blocks // num_layers for layer in range(num_layers)]


@dataclass(frozen=True, kw_only=True)
class CycleSharingConfig(_SeveralBlocksConfig, kind="cycle"):
    """All blocks over and over: 0 1 0 1 0 1 (a looped Transformer)."""

    def order(self, num_layers: int) -> list[int]:
        """Layer modulo blocks."""
        return [layer % self.num_blocks for layer in range(num_layers)]


@dataclass(frozen=True, kw_only=True)
class ReversedCycleSharingConfig(_SeveralBlocksConfig, kind="reversed_cycle"):
    """As `cycle`, with the last round in reverse: 0 1 0 1 1 0."""

    def order(self, num_layers: int) -> list[int]:
        """Layer modulo blocks, the last round backwards."""
        rounds = [layer % self.num_blocks for layer in range(num_layers)]
        return rounds[: -self.num_blocks] + rounds[-self.num_blocks :][::-1]
