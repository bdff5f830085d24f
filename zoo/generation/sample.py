"""Choosing the next token from its logits: greedily, or at random within limits.

What is done to the logits is a table of steps, in the order in which transformers applies its processors: first what
looks at the row so far (`penalties.py`), then temperature and the limits of drawing (`limits.py`). A new step is a
function, a field of `SamplingConfig` and a row in the table.

A row draws from a stream of its own, keyed by (seed, row). So what it becomes does not depend on the other rows of its
batch, and the global random streams are neither read nor moved.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from zoo.config import Config, setting
from zoo.errors import Collected, ZooError
from zoo.generation.finite import check_numbers
from zoo.generation.history import History
from zoo.generation.limits import divide, keep_min_p, keep_top_k, keep_top_p, keep_typical
from zoo.generation.penalties import (
    bar_repeated_ngrams,
    bar_stop_tokens,
    force_prefix,
    obey,
    penalize_frequency,
    penalize_presence,
    penalize_repetition,
)
from zoo.spelling import named

LogitsStep = Callable[[Tensor, Any, History], Tensor]
"""Logits (B, V), the value of the setting, the history → logits (B, V)."""

PENALTIES: dict[str, LogitsStep] = {
    "repetition_penalty": penalize_repetition,
    "frequency_penalty": penalize_frequency,
    "presence_penalty": penalize_presence,
    "no_repeat_ngram_size": bar_repeated_ngrams,
    "min_new_tokens": bar_stop_tokens,
    "prefix_tokens": force_prefix,
}
"""Setting → what it does to the logits, in this order, however a token is chosen; a default does nothing."""

LIMITS: dict[str, LogitsStep] = {
    "temperature": divide,
    "top_k": keep_top_k,
    "top_p": keep_top_p,
    "min_p": keep_min_p,
    "typical_p": keep_typical,
}
"""Setting → what it does to the logits, in this order, before a token is drawn; None does nothing."""


@dataclass(frozen=True, kw_only=True)
class SamplingConfig(Config):
    """How the next token is chosen."""

    temperature: float = setting(0.0, "divides the logits; 0: always the most likely token (greedy)", minimum=0)
    top_k: int | None = setting(None, "how many of the most likely tokens are left in; null: all", minimum=1)
    top_p: float | None = setting(
        None, "the most likely tokens are left in until they have this share; null: all", above=0, maximum=1
    )
    min_p: float | None = setting(
        None,
        "tokens are left in that have this share of the most likely one's probability; null: all",
        above=0,
        maximum=1,
    )
    typical_p: float | None = setting(
        None, "the most typical tokens are left in until they have this share; null: all", above=0, below=1
    )
    repetition_penalty: float = setting(
        1.0,
        "divides what a token of the prompt or the output has for it, multiplies what it has against it; behind the "
        "bounds logits would be no numbers any more",
        minimum=0.001,
        maximum=1000,
    )
    frequency_penalty: float = setting(
        0.0, "taken from a token's logit for each time that it was written", minimum=-2, maximum=2
    )
    presence_penalty: float = setting(0.0, "taken from the logit of a token that was written", minimum=-2, maximum=2)
    no_repeat_ngram_size: int | None = setting(
        None, "no run of so many tokens comes twice in prompt and output together; null: any may", minimum=1
    )
    min_new_tokens: int = setting(
        0,
        "so many tokens are written before a token may end a row; stop strings end it all the same, as in transformers",
        minimum=0,
    )
    prefix_tokens: tuple[int, ...] = setting((), "tokens that the output begins with", minimum=0)
    seed: int = setting(0, "the same seed draws the same numbers", minimum=0)

    def validate(self) -> None:
        """Refuses limits and a seed that greedy choice would ignore."""
        wrong = Collected()
        for name in LIMITS:
            value = getattr(self, name)
            if name != "temperature" and value is not None and self.temperature == 0:
                wrong.add(f"{value} has no effect at temperature 0 (greedy); give a temperature above 0", name)
        if self.seed and self.temperature == 0:
            wrong.add(f"{self.seed} has no effect at temperature 0 (greedy): nothing is drawn", "seed")
        wrong.raise_any()

    @property
    def penalties(self) -> Steps:
        """The steps for penalties and the like that these settings ask for."""
        return Steps(self, PENALTIES)

    @property
    def limits(self) -> Steps:
        """The steps before a token is drawn that these settings ask for."""
        return Steps(self, LIMITS)


class Steps:
    """Some rows of a table of steps, one after the other; those whose setting is at its default are left out.

    Args:
        config: the settings.
        table: setting → step.
    """

    def __init__(self, config: SamplingConfig, table: dict[str, LogitsStep]) -> None:
        defaults = {field.name: field.default for field in fields(config)}
        values = {name: getattr(config, name) for name in table}
        self.active = [(table[name], value) for name, value in values.items() if value != defaults[name]]

    def __call__(self, logits_BV: Tensor, history: History) -> Tensor:
        """(B, V) → (B, V); what a step changes is in float32 or better, where a small penalty is not rounded away."""
        if self.active:
            logits_BV = logits_BV.to(torch.promote_types(logits_BV.dtype, torch.float32))
        for step, value in self.active:
            logits_BV = step(logits_BV, value, history)
        return logits_BV


class Row(NamedTuple):
    """Which row of all it is: the random numbers that it draws are keyed by it, and by nothing else.

    Attributes:
        prompt: number of the prompt.
        sample: which of the texts that are drawn behind the same prompt.
    """

    prompt: int
    sample: int = 0


class Sampler:
    """Chooses a token for each row of a batch, call after call.

    Args:
        config: greedy, or the limits of sampling; penalties.
        rows: which rows they are.
    """

    def __init__(self, config: SamplingConfig, rows: Iterable[int | Row]) -> None:
        keys = [row if isinstance(row, Row) else Row(row) for row in rows]
        self._streams = [np.random.default_rng([config.seed, key.prompt, key.sample]) for key in keys]
        self._penalties, self._limits = config.penalties, config.limits
        self._greedy = config.temperature == 0

    def __call__(self, logits_BV: Tensor, history: History) -> Tensor:
        """(B, V) logits → (B,) int64 tokens; raises ZooError where a logit is not a number, or no token may follow."""
        logits_BV = obey(self._penalties(logits_BV, history), history)
        likeliest = logits_BV.max(dim=-1)  # not a number if one of the logits is not
        check_choice(likeliest.values, history)
        if self._greedy:
            return likeliest.indices
        logits_BV = self._limits(logits_BV, history)
        uniform_B = torch.tensor([stream.random() for stream in self._streams], dtype=torch.float64)
        return draw(logits_BV, uniform_B.to(logits_BV.device))


def check_choice(largest_B: Tensor, history: History) -> None:
    """Raises ZooError where the largest logit of a row is not a number or ∞, or −∞ in a row that goes on."""
    if not math.isfinite(float(largest_B.sum())):  # one number to look at; of a sum that overflows, all of them
        check_numbers(largest_B, "logits")
        if largest_B.isposinf().any():
            raise ZooError(
                "the model's logits are infinite, so no token can be chosen: its weights are damaged, or too large for "
                "its dtype"
            )
        if (largest_B.isneginf() & history.live_B).any():
            raise ZooError(
                f"no token may come next after {history.num_new}: all are barred; raise "
                f"{named('no_repeat_ngram_size')}, or lower {named('min_new_tokens')}"
            )


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
