"""Rotary positions: pairs of query and key channels are turned by an angle proportional to the position.

Su et al. 2021, arXiv:2104.09864. Channel i is paired with channel i + K/2 (the layout of Llama and GPT-NeoX), not with
its neighbour as in the paper; the two differ by a permutation of the channels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from zoo.config import setting
from zoo.errors import ConfigError
from zoo.nn.positions.base import Positions, PositionsConfig, PositionsShape


@dataclass(frozen=True, kw_only=True)
class RotaryConfig(PositionsConfig, kind="rotary"):
    """Rotation of queries and keys; scores depend on the distance only."""

    theta: float = setting(10_000.0, "base of the rotation frequencies", above=1)

    def check(self, shape: PositionsShape) -> None:
        """Refuses an odd head width: channels are turned in pairs."""
        if shape.head_dim % 2:
            raise ConfigError(f"rotary positions need an even head_dim, not head_dim={shape.head_dim}")

    def build(self, shape: PositionsShape) -> Positions:
        """The scheme as a module without parameters."""
        return RotaryPositions(self.theta, shape.head_dim)


class RotaryPositions(Positions):
    """q and k turned by position · θ^(−2i / K), i = 0 … K/2 − 1.

    Args:
        theta: base of the frequencies.
        head_dim: width K of a head, even.
    """

    def __init__(self, theta: float, head_dim: int) -> None:
        super().__init__()
        self.theta = theta
        self.head_dim = head_dim

    def prepare(self, positions_BT: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Cosine and sine of the angles, (B or 1, 1, T, K), computed in float32 or better."""
        fine = torch.promote_types(dtype, torch.float32)
        channel = torch.arange(0, self.head_dim, 2, device=positions_BT.device, dtype=fine)
        frequencies = self.theta ** (-channel / self.head_dim)
        angles = positions_BT[:, None, :, None].to(fine) * frequencies
        angles = torch.cat((angles, angles), dim=-1)
        return angles.cos().to(dtype), angles.sin().to(dtype)

    def rotate(self, q_BHTK: Tensor, k_BGSK: Tensor, tables: tuple[Tensor, Tensor] | None) -> tuple[Tensor, Tensor]:
        """Turns both by the same angles."""
        assert tables is not None
        return _turn(q_BHTK, *tables), _turn(k_BGSK, *tables)


def _turn(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    first, second = x.chunk(2, dim=-1)
    return x * cosine.to(x.dtype) + torch.cat((-second, first), dim=-1) * sine.to(x.dtype)
