"""Rotary positions: pairs of query and key channels are turned by an angle proportional to the position.

Su et al. 2021, arXiv:2104.09864. The paper pairs each channel with its neighbour (`interleaved`: GPT-J, DeepSeek); the
default here is the layout of Llama and GPT-NeoX, channel i with channel i + W/2 (`half`). The two differ by a
permutation of the channels, and so of the rows of the query and key projections. Beyond the paper: a part of a head may
be turned (GPT-J, GPT-NeoX), and the frequencies may be scaled for long contexts (`rotary_scaling.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from zoo.config import setting
from zoo.errors import ConfigError
from zoo.nn.positions.base import Positions, PositionsConfig, PositionsShape, angle_dtype
from zoo.nn.positions.rotary_scaling import NoScalingConfig, RotaryScalingConfig, RotaryShape


@dataclass(frozen=True, kw_only=True)
class RotaryConfig(PositionsConfig, kind="rotary"):
    """Rotation of queries and keys; scores depend on the distance only."""

    warns_past_length: ClassVar[bool] = True

    theta: float = setting(10_000.0, "base of the rotation frequencies", above=1)
    width: int | None = setting(
        None, "channels of a head that are turned, from the first on, an even number; null: all", minimum=2
    )
    layout: Literal["half", "interleaved"] = setting(
        "half", "which channels make a pair: i and i + width/2 (Llama), or neighbours (GPT-J)"
    )
    scaling: RotaryScalingConfig = setting(
        NoScalingConfig(), "how frequencies change for contexts longer than those of the training"
    )

    def check(self, shape: PositionsShape) -> None:
        """Refuses a width that is odd or wider than the head, and a scaling that does not fit it."""
        if self.width is None and shape.head_dim % 2:
            raise ConfigError(f"rotary positions need an even head_dim, not head_dim={shape.head_dim}")
        if self.width is not None and (self.width % 2 or self.width > shape.head_dim):
            raise ConfigError(f"{self.width} must be even and at most head_dim={shape.head_dim}", "width")
        try:
            self.scaling.check(self._rotary_shape(shape))
        except ConfigError as error:
            raise error.under("scaling") from None

    def build(self, shape: PositionsShape) -> Positions:
        """The scheme as a module without parameters."""
        return RotaryPositions(self.scaling, self._rotary_shape(shape), shape.head_dim, self.layout)

    def _rotary_shape(self, shape: PositionsShape) -> RotaryShape:
        return RotaryShape(self.theta, self.width or shape.head_dim, shape.max_length)


class RotaryPositions(Positions):
    """The first W channels of q and k turned by position · θ^(−2i / W), i = 0 … W/2 − 1.

    Args:
        scaling: what becomes of these frequencies.
        shape: their base θ and number, and the longest row.
        head_dim: width K of a head.
        layout: which channels make a pair, a name of LAYOUTS.
    """

    def __init__(self, scaling: RotaryScalingConfig, shape: RotaryShape, head_dim: int, layout: str) -> None:
        super().__init__()
        self.scaling = scaling
        self.shape = shape
        self.still = head_dim - shape.width
        self.layout = LAYOUTS[layout]
        self.attention_factor = scaling.attention(shape)

    def prepare(self, positions_BT: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Cosine and sine of the angles, (B or 1, 1, T, K), computed in float64; 1 and 0 for what is not turned."""
        fine = angle_dtype(positions_BT.device)
        channel_P = torch.arange(0, self.shape.width, 2, device=positions_BT.device, dtype=fine)
        frequency_P = self.scaling.frequencies(self.shape, self.shape.theta ** (-channel_P / self.shape.width))
        angle_B1TP = positions_BT[:, None, :, None].to(fine) * frequency_P
        cosine, sine = (
            functional.pad(self.layout.spread(part * self.attention_factor), (0, self.still), value=still).to(dtype)
            for part, still in ((angle_B1TP.cos(), 1.0), (angle_B1TP.sin(), 0.0))
        )
        return cosine, sine

    def rotate(self, q_BHTK: Tensor, k_BGSK: Tensor, tables: tuple[Tensor, Tensor] | None) -> tuple[Tensor, Tensor]:
        """Turns both by the same angles."""
        assert tables is not None
        return self._turn(q_BHTK, *tables), self._turn(k_BGSK, *tables)

    def _turn(self, x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        partner = self.layout.partner(x, self.shape.width)
        return x * cosine.to(x.dtype) + partner * sine.to(x.dtype)


class Layout(NamedTuple):
    """Which of W channels make a pair.

    Attributes:
        spread: (…, W/2), a number for each pair → (…, W), the same for both of its channels.
        partner: (…, K), W → (…, K): each of the first W channels replaced by the other of its pair, negated where that
            is the second; multiplied by the sine it completes the rotation.
    """

    spread: Callable[[Tensor], Tensor]
    partner: Callable[[Tensor, int], Tensor]


def _spread_over_halves(pairs: Tensor) -> Tensor:
    return torch.cat((pairs, pairs), dim=-1)


def _partner_in_other_half(x: Tensor, width: int) -> Tensor:
    first, second, still = x.split((width // 2, width // 2, x.shape[-1] - width), dim=-1)
    return torch.cat((-second, first, still), dim=-1)


def _spread_over_neighbours(pairs: Tensor) -> Tensor:
    return pairs.repeat_interleave(2, dim=-1)


def _partner_beside(x: Tensor, width: int) -> Tensor:
    turned, still = x.split((width, x.shape[-1] - width), dim=-1)
    partners = torch.stack((-turned[..., 1::2], turned[..., 0::2]), dim=-1).flatten(-2)
    return torch.cat((partners, still), dim=-1)


LAYOUTS = {
    "half": Layout(_spread_over_halves, _partner_in_other_half),
    "interleaved": Layout(_spread_over_neighbours, _partner_beside),
}
"""Which channels make a pair, by name."""
