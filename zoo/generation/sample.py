"""Choosing the next token from its logits: greedily, or at random within limits.

Temperature, then top-k (Fan et al. 2018, arXiv:1805.04833), then top-p (Holtzman et al. 2019, arXiv:1904.09751), each a
pure function of logits (B, V); −∞ is the logit of a token that cannot be chosen.

A row draws from a stream of its own, keyed by (seed, row). So what it becomes does not depend on the other rows of its
batch, and the global random streams are neither read nor moved.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from zoo.config import Config, setting
from zoo.errors import ConfigError, ZooError

LogitsStep = Callable[[Tensor], Tensor]
"""Logits (B, V) to logits (B, V)."""


@dataclass(frozen=True, kw_only=True)
class SamplingConfig(Config):
    """How the next token is chosen."""

    temperature: float = setting(0.0, "divides the logits; 0: always the most likely token (greedy)", minimum=0)
    top_k: int | None = setting(None, "how many of the most likely tokens are left in; null: all", minimum=1)
    top_p: float | None = setting(
        None, "the most likely tokens are left in until they have this share; null: all", above=0, maximum=1
    )
    seed: int = setting(0, "the same seed draws the same numbers", minimum=0)

    def validate(self) -> None:
        """Refuses limits that greedy choice would ignore."""
        for name, value in (("top_k", self.top_k), ("top_p", self.top_p)):
            if value is not None and self.temperature == 0:
                raise ConfigError(f"{value} has no effect at temperature 0 (greedy); give a temperature above 0", name)

    @property
    def steps(self) -> list[LogitsStep]:
        """What is done to the logits before a token is drawn, in this order."""
        steps: list[LogitsStep] = [functools.partial(divide, temperature=self.temperature)]
        if self.top_k is not None:
            steps.append(functools.partial(keep_top_k, k=self.top_k))
        if self.top_p is not None:
            steps.append(functools.partial(keep_top_p, p=self.top_p))
        return steps


class Sampler:
    """Chooses a token for each row of a batch, call after call.

    Args:
        config: greedy, or the limits of sampling.
        rows: the number of each row; its random numbers are keyed by it.
    """

    def __init__(self, config: SamplingConfig, rows: Sequence[int]) -> None:
        self._streams = [np.random.default_rng([config.seed, row]) for row in rows]
        self._steps = config.steps if config.temperature > 0 else None

    def __call__(self, logits_BV: Tensor) -> Tensor:
        """(B, V) logits → (B,) int64 tokens; raises ZooError where a logit is not a number."""
        if logits_BV.isnan().any():
            raise ZooError(
                "the model's logits are not numbers (NaN): its weights are damaged, or too large for its dtype"
            )
        if self._steps is None:
            return greedy(logits_BV)
        for step in self._steps:
            logits_BV = step(logits_BV)
        uniform_B = torch.tensor([stream.random() for stream in self._streams], dtype=torch.float64)
        return draw(logits_BV, uniform_B.to(logits_BV.device))


def greedy(logits_BV: Tensor) -> Tensor:
    """(B,) the most likely token of each row."""
    return logits_BV.argmax(dim=-1)


def divide(logits_BV: Tensor, temperature: float) -> Tensor:
    """Logits over the temperature, in float64: below 1 the likely become likelier, above 1 less so."""
    logits_BV = logits_BV.double()
    return (logits_BV - logits_BV.amax(dim=-1, keepdim=True)) / temperature  # nothing overflows where the most is 0


def keep_top_k(logits_BV: Tensor, k: int) -> Tensor:
    """−∞ for all but the k most likely tokens of a row; tokens as likely as the k-th stay as well."""
    kth_B1 = logits_BV.topk(min(k, logits_BV.shape[-1]), dim=-1).values[:, -1:]
    return logits_BV.masked_fill(logits_BV < kth_B1, -math.inf)


def keep_top_p(logits_BV: Tensor, p: float) -> Tensor:
    """−∞ for all but the fewest most likely tokens of a row that together have a probability of at least p.

    Among equally likely tokens those with lower ids count as more likely.
    """
    descending_BV, order_BV = logits_BV.double().sort(dim=-1, descending=True, stable=True)
    probabilities_BV = descending_BV.softmax(dim=-1)
    before_BV = probabilities_BV.cumsum(dim=-1) - probabilities_BV
    before_BV[:, 0] = 0.0  # the most likely token stays, whatever rounding says
    dropped_BV = torch.zeros_like(order_BV, dtype=torch.bool).scatter(-1, order_BV, before_BV >= p)
    return logits_BV.masked_fill(dropped_BV, -math.inf)


def draw(logits_BV: Tensor, uniform_B: Tensor) -> Tensor:
    """A token of each row with the probabilities softmax(logits), by inverting their cumulative sum.

    Args:
        logits_BV: (B, V).
        uniform_B: (B,) float64 in [0, 1); it alone decides, so equal numbers give equal tokens.

    Returns:
        (B,) int64; never a token of probability 0.
    """
    cumulative_BV = logits_BV.double().softmax(dim=-1).cumsum(dim=-1)
    # The sum is 1 but for rounding. A number below 1 is at most 1 − 2⁻⁵³, so the product stays below the sum even when
    # it is rounded, and some token lies beyond it.
    return (cumulative_BV <= uniform_B[:, None] * cumulative_BV[:, -1:]).sum(dim=-1)
