"""Blocks of one's own: a positional scheme and a feed-forward that zoo does not have. docs/own_blocks.md explains them.

    zoo pretrain gpt-nano --import recipes/own_blocks/my_blocks.py model.positions=kerple model.feed_forward=maxout
    zoo list --import recipes/own_blocks/my_blocks.py --choices positions

`kerple`: Chi et al. 2022, arXiv:2205.09921, equations 7 and 8: scores fall off with the distance by a curve that each
head learns. The paper is about causal stacks; here a stack that sees both ways uses the same curve to both sides.
`maxout`: Goodfellow et al. 2013, arXiv:1302.4389: the largest of several projections in place of a nonlinearity.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from zoo.config import setting
from zoo.errors import ConfigError
from zoo.nn.feed_forward import FeedForwardConfig, FeedForwardShape
from zoo.nn.linear import Linear
from zoo.nn.positions import Positions, PositionsConfig, PositionsShape

# ------------------------------------------------------------------------------------------------- a positional scheme


@dataclass(frozen=True, kw_only=True)
class KerpleConfig(PositionsConfig, kind="kerple"):
    """Learned curves of the distance, one a head."""

    curve: Literal["logarithmic", "power"] = setting(
        "logarithmic", "logarithmic: −a · log(1 + b · distance); power: −a · distance^b"
    )
    start: float = setting(1.0, "a and b of every head before training", above=0)

    def validate(self) -> None:
        """The power is a kernel up to the square only."""
        if self.curve == "power" and self.start > 2:
            raise ConfigError(f"{self.start} must be at most 2 with curve='power', whose exponent it is", "start")

    def build(self, shape: PositionsShape) -> Positions:
        """The scheme as a module."""
        return KerplePositions(self, shape.num_heads)


class KerplePositions(Positions):
    """−curve(|query position − key position|) of each head, added to the scores.

    Args:
        config: which curve, and where it starts.
        num_heads: H.
    """

    def __init__(self, config: KerpleConfig, num_heads: int) -> None:
        super().__init__()
        self.power = config.curve == "power"
        self.a = nn.Parameter(torch.empty(num_heads))
        self.b = nn.Parameter(torch.empty(num_heads))
        self.starts = {"a": config.start, "b": config.start}

    def bias(self, query_positions_BT: Tensor, key_positions_BS: Tensor, dtype: torch.dtype) -> Tensor:
        """(B or 1, H, T, S) biases, float32 or finer."""
        distance_B1TS = (query_positions_BT[:, None, :, None] - key_positions_BS[:, None, None, :]).abs()
        distance_B1TS = distance_B1TS.to(torch.promote_types(dtype, torch.float32))
        a_H11, b_H11 = (weight.clamp(min=1e-4)[:, None, None] for weight in (self.a, self.b))
        if self.power:
            # 0^b is 0, but its gradient in b is not a number
            curve = torch.where(distance_B1TS > 0, distance_B1TS.clamp(min=1) ** b_H11.clamp(max=2), 0)
        else:
            curve = torch.log1p(b_H11 * distance_B1TS)
        return -a_H11 * curve


# --------------------------------------------------------------------------------------------------- and a feed-forward


@dataclass(frozen=True, kw_only=True)
class MaxoutConfig(FeedForwardConfig, kind="maxout"):
    """output(max over pieces of input(x)): (pieces + 1) · dim · inner weights."""

    pieces: int = setting(2, "projections of which each inner number is the largest", minimum=2)

    def build(self, shape: FeedForwardShape) -> nn.Module:
        """The sublayer."""
        return Maxout(self, shape)


class Maxout(nn.Module):
    """output(dropout(max over pieces of input(x))).

    Args:
        config: how many pieces.
        shape: widths, dropout, and where the weights stand, by which initializations know them.
    """

    def __init__(self, config: MaxoutConfig, shape: FeedForwardShape) -> None:
        super().__init__()
        self.pieces = config.pieces
        self.input = Linear(shape.dim, config.pieces * shape.width, bias=True, site=shape.site("feed_forward_input"))
        self.dropout = nn.Dropout(shape.dropout) if shape.dropout else nn.Identity()
        self.output = Linear(shape.width, shape.dim, bias=True, site=shape.site("feed_forward_output"))

    def forward(self, hidden_BTD: Tensor) -> Tensor:
        """(B, T, D) → (B, T, D), each position by itself."""
        inner_BTFP = self.input(hidden_BTD).unflatten(-1, (-1, self.pieces))
        return self.output(self.dropout(inner_BTFP.amax(-1)))

    def extra_repr(self) -> str:
        """In one line: pieces and widths."""
        return f"maxout of {self.pieces}, {self.input.in_features} → {self.output.in_features}"
