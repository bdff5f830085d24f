"""Where positions enter a Transformer: three hooks, all no-ops here.

- `embed` adds to the embeddings (learned, sinusoidal);
- `rotate` turns queries and keys, with tables prepared once a forward (rotary);
- `bias` adds to the attention scores (ALiBi, T5 relative).

A scheme overrides the hook it needs. Positions are always explicit, so packing, left padding and caches need no special
case. Schemes whose bias depends on the content of queries and keys would need a fourth hook.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from zoo.config import Config
from zoo.registry import Choice


class PositionsShape(NamedTuple):
    """The numbers of the stack that a scheme may need.

    Attributes:
        dim: width D of the hidden state. num_heads: H. head_dim: K.
        max_length: most positions of one document; learned tables have that many rows.
        causal: whether queries see only earlier keys.
        embedding_dim: width of what `embed` adds to, where it is not D (factorised embeddings).
    """

    dim: int
    num_heads: int
    head_dim: int
    max_length: int
    causal: bool
    embedding_dim: int | None = None

    @property
    def embed_dim(self) -> int:
        """Width of what `embed` adds to."""
        return self.embedding_dim or self.dim


@dataclass(frozen=True, kw_only=True)
class PositionsConfig(Config, Choice, noun="positions"):
    """Which positional scheme a stack has."""

    by_layer: ClassVar[bool] = True
    """Whether the scheme acts inside the layers, and so may differ from layer to layer."""

    has_end: ClassVar[bool] = False
    """Whether there are no positions past `max_length`: a longer text is refused (`Positions.num_positions`)."""

    warns_past_length: ClassVar[bool] = False
    """Whether a text past `max_length` is computed though nothing was learned of such places: people are warned.

    Not of schemes that are meant to go on (ALiBi, relative).
    """

    features: ClassVar[Mapping[str, str]] = {}
    """What the scheme asks of a kernel beyond the plain softmax: feature → the setting that asks for it."""

    def build(self, shape: PositionsShape) -> Positions:
        """The scheme as a module."""
        raise NotImplementedError

    def check(self, shape: PositionsShape) -> None:
        """Raises ConfigError where the scheme cannot work in a stack of this shape."""

    def check_sides(self, two_sided: bool) -> None:
        """Raises ConfigError where a setting acts on a side that no stack of the model sees.

        Args:
            two_sided: whether the model has a stack that sees both ways.
        """


class Positions(nn.Module):
    """A positional scheme that does nothing; the base of those that do something.

    Attributes:
        num_positions: how many positions there are, 0 … num_positions − 1; None: the scheme has no end.
    """

    num_positions: int | None = None

    def embed(self, hidden_BTD: Tensor, positions_BT: Tensor) -> Tensor:
        """Adds position to the sum of the embeddings, before their norm: (B, T, D) → (B, T, D)."""
        return hidden_BTD

    def prepare(self, positions_BT: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor] | None:
        """Tables (cosine, sine) for `rotate`, each (B or 1, 1, T, K), or None."""
        return None

    def rotate(self, q_BHTK: Tensor, k_BGSK: Tensor, tables: tuple[Tensor, Tensor] | None) -> tuple[Tensor, Tensor]:
        """Queries and keys of the same positions, turned by them."""
        return q_BHTK, k_BGSK

    def bias(self, query_positions_BT: Tensor, key_positions_BS: Tensor, dtype: torch.dtype) -> Tensor | None:
        """What is added to the scores, (B or 1, H, T, S) of that dtype or finer, or None."""
        return None


def angle_dtype(device: torch.device) -> torch.dtype:
    """What angles are computed in: float64, or float32 on a device that has none finer (Apple's GPUs).

    The angle of position 100,000 has an error of 0.004 in float32, whatever the model's own dtype.
    """
    return torch.float32 if device.type == "mps" else torch.float64
