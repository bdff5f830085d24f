"""Fixed sinusoids of geometrically growing wavelength, added to the embeddings.

Vaswani et al. 2017, arXiv:1706.03762, section 3.5: column 2i is sin(position / base^(2i / D)),
column 2i + 1 the cosine.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from zoo.config import setting
from zoo.errors import ConfigError
from zoo.nn.positions.base import Positions, PositionsConfig, PositionsShape


@dataclass(frozen=True, kw_only=True)
class SinusoidalConfig(PositionsConfig, kind="sinusoidal"):
    """The original Transformer's positions."""

    by_layer: ClassVar[bool] = False

    base: float = setting(10_000.0, "ratio of the longest to the shortest wavelength", above=1)

    def check(self, shape: PositionsShape) -> None:
        """Refuses an odd width: sines and cosines come in pairs."""
        if shape.dim % 2:
            raise ConfigError(f"sinusoidal positions need an even dim, not dim={shape.dim}")

    def build(self, shape: PositionsShape) -> Positions:
        """The scheme as a module without parameters."""
        return SinusoidalPositions(self.base, shape.dim)


class SinusoidalPositions(Positions):
    """hidden + sinusoids of the position.

    Args:
        base: ratio of the longest to the shortest wavelength.
        dim: width D, even.
    """

    def __init__(self, base: float, dim: int) -> None:
        super().__init__()
        self.base = base
        self.dim = dim

    def embed(self, hidden_BTD: Tensor, positions_BT: Tensor) -> Tensor:
        """Adds the sinusoids, computed in float32 or better."""
        dtype = torch.promote_types(hidden_BTD.dtype, torch.float32)
        pair = torch.arange(0, self.dim, 2, device=hidden_BTD.device, dtype=dtype)
        angles = positions_BT[..., None].to(dtype) * torch.exp(pair * (-math.log(self.base) / self.dim))
        sinusoids_BTD = torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(-2)
        return hidden_BTD + sinusoids_BTD.to(hidden_BTD.dtype)
