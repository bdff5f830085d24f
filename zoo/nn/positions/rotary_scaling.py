"""Rotary frequencies for contexts longer than a model was trained on, one kind a scaling.

- `linear`, position interpolation: Chen et al. 2023, arXiv:2306.15595.
- `ntk`, another base: bloc97 2023; section 3.1 of the YaRN paper.
- `yarn`: Peng et al. 2023, arXiv:2309.00071; `mscale` as in DeepSeek-V2, arXiv:2405.04434, section 3.1.4.
- `llama3`: Llama 3.1, arXiv:2407.21783; the formula stands in its released code.
- `longrope`: Ding et al. 2024, arXiv:2402.13753, and Phi-3, arXiv:2404.14219.

Frequencies depend on the config alone, never on the batch: a row next to a longer one would otherwise change, and keys
in a cache would have been turned by other angles than the queries that look at them. Hence no dynamic NTK, whose base
grows with the longest row of the batch, and LongRoPE chooses its list by `max_length` where the released code looks at
the batch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from zoo.config import Config, setting
from zoo.errors import ConfigError
from zoo.registry import Choice


class RotaryShape(NamedTuple):
    """The numbers that a scaling may need.

    Attributes:
        theta: base of the frequencies.
        width: channels that are turned, W; there are W/2 frequencies.
        max_length: most positions of one row, scaled.
    """

    theta: float
    width: int
    max_length: int


@dataclass(frozen=True, kw_only=True)
class RotaryScalingConfig(Config, Choice, noun="rotary scaling"):
    """How rotary positions reach past the length that a model was trained on."""

    def check(self, shape: RotaryShape) -> None:
        """Raises ConfigError where the scaling does not fit the rotation."""

    def frequencies(self, shape: RotaryShape, plain_P: Tensor) -> Tensor:
        """(W/2,) angle per position of each pair, from those of the paper, θ^(−2i / W)."""
        raise NotImplementedError

    def attention(self, shape: RotaryShape) -> float:
        """Factor on cosine and sine; its square is on the scores."""
        return 1.0


@dataclass(frozen=True, kw_only=True)
class NoScalingConfig(RotaryScalingConfig, kind="none"):
    """The frequencies of the paper."""

    def frequencies(self, shape: RotaryShape, plain_P: Tensor) -> Tensor:
        """As they are."""
        return plain_P


@dataclass(frozen=True, kw_only=True)
class LinearScalingConfig(RotaryScalingConfig, kind="linear"):
    """Positions divided by a factor."""

    factor: float = setting(2.0, "how many times longer the context becomes (1 would be scaling=none)", above=1)

    def frequencies(self, shape: RotaryShape, plain_P: Tensor) -> Tensor:
        """Slower by the factor, all of them."""
        return plain_P / self.factor


@dataclass(frozen=True, kw_only=True)
class NTKScalingConfig(RotaryScalingConfig, kind="ntk"):
    """A larger base, so that the slowest pair turns slower by the factor and the fastest does not (NTK-aware)."""

    factor: float = setting(2.0, "how many times longer the context becomes (1 would be scaling=none)", above=1)

    def check(self, shape: RotaryShape) -> None:
        """Refuses a single pair, which would be fastest and slowest."""
        if shape.width < 4:
            raise ConfigError(f"'ntk' needs at least 4 rotary channels, not {shape.width}", "kind")

    def frequencies(self, shape: RotaryShape, plain_P: Tensor) -> Tensor:
        """Those of the base θ · factor^(W / (W − 2)): pair i is slower by factor^(2i / (W − 2))."""
        pair_P = torch.arange(len(plain_P), device=plain_P.device, dtype=plain_P.dtype)
        return plain_P * self.factor ** (-2 * pair_P / (shape.width - 2))


@dataclass(frozen=True, kw_only=True)
class YarnScalingConfig(RotaryScalingConfig, kind="yarn"):
    """Slow pairs are interpolated, fast ones left alone, those between mixed ("NTK by parts"), and scores sharpened."""

    factor: float = setting(4.0, "how many times longer the context becomes (1 would be scaling=none)", above=1)
    original_length: int = setting(4096, "positions of the training before scaling", minimum=1)
    beta_fast: float = setting(32.0, "pairs that turn at least so often within it are left alone", above=0)
    beta_slow: float = setting(1.0, "pairs that turn at most so often within it are interpolated", above=0)
    truncate: bool = setting(True, "whether the borders between these are rounded outwards to whole pairs")
    attention_factor: float | None = setting(
        None, "factor on cosine and sine; null: 0.1 · ln(factor) + 1, the paper's", above=0
    )
    mscale: float | None = setting(
        None, "DeepSeek's factor on the 0.1 in that formula, which is then divided by that of mscale_all_dim", above=0
    )
    mscale_all_dim: float | None = setting(
        None, "the divisor beside mscale; DeepSeek also has its square in attention.scale", above=0
    )

    def validate(self) -> None:
        """Refuses borders in the wrong order and factors that would not be read."""
        if self.beta_fast <= self.beta_slow:
            raise ConfigError(f"{self.beta_fast} must be above beta_slow={self.beta_slow}", "beta_fast")
        for name, other in (("mscale", "mscale_all_dim"), ("mscale_all_dim", "mscale")):
            if getattr(self, name) is not None and getattr(self, other) is None:
                raise ConfigError(f"{name}={getattr(self, name)} has no effect without {other}", name)
        if self.mscale is not None and self.attention_factor is not None:
            raise ConfigError(
                f"{self.attention_factor} and mscale={self.mscale} both say the factor on the tables; give one of them",
                "attention_factor",
            )

    def frequencies(self, shape: RotaryShape, plain_P: Tensor) -> Tensor:
        """A mixture of frequency and frequency / factor; the share of the latter rises linearly with the pair."""
        low, high = self._border(shape, self.beta_fast), self._border(shape, self.beta_slow)
        if self.truncate:
            low, high = math.floor(low), math.ceil(high)
        # Outside the head they may be the wrong way round, and the ramp then falls, as in the released code.
        low, high = max(low, 0), min(high, shape.width - 1)
        high += 0.001 if low == high else 0  # that code's remedy against 0 / 0
        pair_P = torch.arange(len(plain_P), device=plain_P.device, dtype=plain_P.dtype)
        return torch.lerp(plain_P, plain_P / self.factor, ((pair_P - low) / (high - low)).clamp(0, 1))

    def attention(self, shape: RotaryShape) -> float:
        """The paper's √(1/t), equation 22, or DeepSeek's ratio of two such factors."""
        if self.attention_factor is not None:
            return self.attention_factor
        if self.mscale is not None and self.mscale_all_dim is not None:
            return self._sharpening(self.mscale) / self._sharpening(self.mscale_all_dim)
        return self._sharpening(1.0)

    def _sharpening(self, mscale: float) -> float:
        return 0.1 * mscale * math.log(self.factor) + 1

    def _border(self, shape: RotaryShape, turns: float) -> float:
        """The pair, as a fraction, that turns so often within the original length."""
        return shape.width * math.log(self.original_length / (2 * math.pi * turns)) / (2 * math.log(shape.theta))


@dataclass(frozen=True, kw_only=True)
class Llama3ScalingConfig(RotaryScalingConfig, kind="llama3"):
    """As `yarn` in other words: pairs are mixed by how often they turn, not by their number, and scores left alone."""

    factor: float = setting(8.0, "how much slower the slow pairs turn (1 would be scaling=none)", above=1)
    low_frequency_factor: float = setting(
        1.0, "pairs that turn at most so often within the original length are slowed", above=0
    )
    high_frequency_factor: float = setting(4.0, "pairs that turn at least so often are left alone", above=0)
    original_length: int = setting(8192, "positions of the training before scaling", minimum=1)

    def validate(self) -> None:
        """Refuses factors in the wrong order."""
        if self.high_frequency_factor <= self.low_frequency_factor:
            raise ConfigError(
                f"{self.high_frequency_factor} must be above low_frequency_factor={self.low_frequency_factor}",
                "high_frequency_factor",
            )

    def frequencies(self, shape: RotaryShape, plain_P: Tensor) -> Tensor:
        """A mixture of frequency / factor and frequency; the share of the latter rises linearly with the turns."""
        turns_P = self.original_length * plain_P / (2 * math.pi)
        span = self.high_frequency_factor - self.low_frequency_factor
        return torch.lerp(plain_P / self.factor, plain_P, ((turns_P - self.low_frequency_factor) / span).clamp(0, 1))


@dataclass(frozen=True, kw_only=True)
class LongRopeScalingConfig(RotaryScalingConfig, kind="longrope"):
    """A factor for each pair, found by search; one list for short contexts, another for long ones."""

    short_factor: tuple[float, ...] | None = setting(
        None, "divisor of each frequency where max_length does not exceed original_length; null: 1 for all", above=0
    )
    long_factor: tuple[float, ...] | None = setting(
        None, "divisor of each frequency where max_length exceeds original_length; null: 1 for all", above=0
    )
    original_length: int = setting(4096, "positions of the training before scaling", minimum=2)
    attention_factor: float | None = setting(
        None,
        "factor on cosine and sine; null: √(1 + ln(max_length / original_length) / ln(original_length)), at least 1",
        above=0,
    )

    def validate(self) -> None:
        """Refuses no list at all, which would divide nothing."""
        if self.short_factor is None and self.long_factor is None:
            raise ConfigError(
                "null as long_factor is null: without a list no frequency is scaled; give one or both, or use "
                "scaling=none",
                "short_factor",
            )

    def check(self, shape: RotaryShape) -> None:
        """Refuses lists that do not have one factor for each pair."""
        for name in ("short_factor", "long_factor"):
            factors = getattr(self, name)
            if factors is not None and len(factors) != shape.width // 2:
                raise ConfigError(
                    f"{len(factors)} factors for {shape.width} rotary channels; it must be one for each pair, "
                    f"{shape.width // 2}",
                    name,
                )

    def frequencies(self, shape: RotaryShape, plain_P: Tensor) -> Tensor:
        """Each divided by its factor of the list that `max_length` asks for."""
        factors = self.long_factor if shape.max_length > self.original_length else self.short_factor
        if factors is None:
            return plain_P
        return plain_P / torch.tensor(factors, device=plain_P.device, dtype=plain_P.dtype)

    def attention(self, shape: RotaryShape) -> float:
        """The LongRoPE paper's factor, equation 3."""
        if self.attention_factor is not None:
            return self.attention_factor
        growth = max(shape.max_length / self.original_length, 1.0)
        return math.sqrt(1 + math.log(growth) / math.log(self.original_length))
