"""Fixed sinusoids of geometrically growing wavelength, added to the embeddings.

Vaswani et al. 2017, arXiv:1706.03762, section 3.5: column 2i is sin(position / base^(2i / D)), column 2i + 1 the cosine
(`interleaved`). Marian has all sines first and then all cosines (`half`), with the same frequencies. tensor2tensor and
fairseq have that order too, but space their frequencies by 2i / (D − 2), so that the slowest is exactly 1 / base; that
spacing is not offered. Marian's table has as many rows as its longest text; here there is none, and no last position.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from zoo.config import setting
from zoo.errors import ConfigError
from zoo.nn.positions.base import Positions, PositionsConfig, PositionsShape, angle_dtype


@dataclass(frozen=True, kw_only=True)
class SinusoidalConfig(PositionsConfig, kind="sinusoidal"):
    """The original Transformer's positions."""

    by_layer: ClassVar[bool] = False

    base: float = setting(10_000.0, "ratio of the longest to the shortest wavelength", above=1)
    layout: Literal["interleaved", "half"] = setting(
        "interleaved", "sine and cosine of a wavelength side by side (the paper), or all sines first (Marian)"
    )

    def check(self, shape: PositionsShape) -> None:
        """Refuses an odd width: sines and cosines come in pairs."""
        if shape.embed_dim % 2:
            raise ConfigError(f"sinusoidal positions need an even dim, not dim={shape.embed_dim}")

    def build(self, shape: PositionsShape) -> Positions:
        """The scheme as a module without parameters."""
        return SinusoidalPositions(self.base, shape.embed_dim, self.layout)


class SinusoidalPositions(Positions):
    """hidden + sinusoids of the position.

    Args:
        base: ratio of the longest to the shortest wavelength.
        dim: width of the embeddings, even.
        layout: in which order the columns stand, `interleaved` or `half`.
    """

    def __init__(self, base: float, dim: int, layout: str) -> None:
        super().__init__()
        self.base = base
        self.dim = dim
        self.stack_dim = {"interleaved": -1, "half": -2}[layout]
        """Where sine and cosine of a wavelength are put together: behind each other, or in rows of their own."""

    def embed(self, hidden_BTD: Tensor, positions_BT: Tensor) -> Tensor:
        """Adds the sinusoids, computed in float64."""
        fine = angle_dtype(hidden_BTD.device)
        pair_P = torch.arange(0, self.dim, 2, device=hidden_BTD.device, dtype=fine)
        angle_BTP = positions_BT[..., None].to(fine) * torch.exp(pair_P * (-math.log(self.base) / self.dim))
        sinusoids_BTD = torch.stack((angle_BTP.sin(), angle_BTP.cos()), dim=self.stack_dim).flatten(-2)
        return hidden_BTD + sinusoids_BTD.to(hidden_BTD.dtype)
