"""Positional schemes, one file each; this list is what registers them."""

from zoo.nn.positions import alibi, learned, none, relative, rotary, rotary_scaling, sinusoidal
from zoo.nn.positions.base import Positions, PositionsConfig, PositionsShape

__all__ = [
    "Positions",
    "PositionsConfig",
    "PositionsShape",
    "alibi",
    "learned",
    "none",
    "relative",
    "rotary",
    "rotary_scaling",
    "sinusoidal",
]
