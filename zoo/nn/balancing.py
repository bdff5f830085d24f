"""How the experts of a mixture are kept equally busy.

By a loss: Lepikhin et al. 2020 (GShard), arXiv:2006.16668, section 2.2; Fedus et al. 2021 (Switch), arXiv:2101.03961,
equations 4 to 6, here with the loads of all top-k choices as in DeepSeekMoE (arXiv:2401.06066, equations 12 to 14), so
that the loss is `weight` where loads are equal, whatever k is. Scores that do not add up to 1 (sigmoid) are first made
to (DeepSeek-V3). With it the router z-loss: Zoph et al. 2022 (ST-MoE), arXiv:2202.08906, equation 5.

By a bias: Wang et al. 2024, arXiv:2408.15664, algorithm 1; DeepSeek-V3, arXiv:2412.19437, section 2.1.2. It only says
which experts are chosen, not how much they weigh, and gets no gradient. Here it moves by the loads of the whole
optimizer step, all microbatches and ranks, padding left out; the papers do not say what a batch is under accumulation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from zoo.config import Config, setting
from zoo.nn.step import StepAware
from zoo.registry import Choice


class Routed(NamedTuple):
    """What a router did with N tokens, padding left out.

    Attributes:
        logits_NE: of each of E experts.
        scores_NE: the logits as softmax or sigmoid.
        experts_NK: int64, the experts that were chosen.
    """

    logits_NE: Tensor
    scores_NE: Tensor
    experts_NK: Tensor


@dataclass(frozen=True, kw_only=True)
class BalancingConfig(Config, Choice, noun="balancing"):
    """How the experts of a mixture are kept equally busy."""

    def build(self, num_experts: int) -> Balancing:
        """The module that watches a router and sways its choice."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class NoBalancingConfig(BalancingConfig, kind="none"):
    """Not at all: the router may send all tokens to the same few experts."""

    def build(self, num_experts: int) -> Balancing:
        """A module that does nothing."""
        return Balancing()


@dataclass(frozen=True, kw_only=True)
class LossBalancingConfig(BalancingConfig, kind="loss"):
    """A loss on unequal loads, added to the step's loss for each mixture of the model."""

    mixes_rows: ClassVar[str] = "has a loss on the loads of all tokens of a batch together"

    weight: float = setting(
        0.01, "factor of the loss; it is at its least, the factor itself, where loads are equal", above=0
    )
    z_weight: float = setting(0.0, "factor of the router z-loss, the mean squared log-sum-exp of the logits", minimum=0)

    def build(self, num_experts: int) -> Balancing:
        """The loss."""
        return LossBalancing(self, num_experts)


@dataclass(frozen=True, kw_only=True)
class BiasBalancingConfig(BalancingConfig, kind="bias"):
    """A bias on the score of each expert, which after each step rises where the load was low and falls where high."""

    rate: float = setting(0.001, "by how much a bias moves after a step; scores lie between 0 and 1", above=0)

    def build(self, num_experts: int) -> Balancing:
        """The bias."""
        return BiasBalancing(self.rate, num_experts)


class Balancing(StepAware):
    """Watches a router and sways its choice; this one does neither."""

    def sway(self, scores_NE: Tensor) -> Tensor:
        """What the experts are chosen by."""
        return scores_NE

    def watch(self, routed: Routed) -> None:
        """Sees what the router did, in the forwards of a training step."""


class LossBalancing(Balancing):
    """weight · E · Σ_e load_e · probability_e, and z_weight · mean(logsumexp(logits)²).

    Args:
        config: the two factors.
        num_experts: E.
    """

    adds_loss: ClassVar[bool] = True

    def __init__(self, config: LossBalancingConfig, num_experts: int) -> None:
        super().__init__()
        self.weight = config.weight
        self.z_weight = config.z_weight
        self.num_experts = num_experts

    def watch(self, routed: Routed) -> None:
        """Leaves the loss of these tokens."""
        assert self.losses is not None
        num_tokens = max(len(routed.logits_NE), 1)
        loads_E = loads(routed.experts_NK, self.num_experts).to(routed.scores_NE) / max(routed.experts_NK.numel(), 1)
        shares_NE = routed.scores_NE / routed.scores_NE.sum(1, keepdim=True)
        unequal = self.num_experts * (loads_E * shares_NE.sum(0) / num_tokens).sum()
        size = routed.logits_NE.logsumexp(1).square().sum() / num_tokens
        self.losses.append(self.weight * unequal + self.z_weight * size)


class BiasBalancing(Balancing):
    """Adds a bias to the scores that experts are chosen by.

    Args:
        rate: by how much it moves after a step.
        num_experts: E.
    """

    bias: Tensor

    def __init__(self, rate: float, num_experts: int) -> None:
        super().__init__()
        self.rate = rate
        self.register_buffer("bias", torch.zeros(num_experts))
        self.counted: Tensor | None = None

    def sway(self, scores_NE: Tensor) -> Tensor:
        """Scores and bias."""
        return scores_NE + self.bias

    def watch(self, routed: Routed) -> None:
        """Counts the tokens of each expert."""
        if self.replaying:
            return
        loads_E = loads(routed.experts_NK, len(self.bias))
        self.counted = loads_E if self.counted is None else self.counted + loads_E

    def take_counts(self) -> Tensor:
        """(E,) int64: tokens that each expert got."""
        counted, self.counted = self.counted, None
        return torch.zeros_like(self.bias, dtype=torch.int64) if counted is None else counted

    @torch.no_grad()
    def settle(self, counts: Tensor) -> None:
        """Moves each bias by the rate, towards equal loads."""
        below_E = counts.sum() - len(counts) * counts  # E · (mean − load), in whole numbers: equal is equal
        self.bias += self.rate * below_E.sign().to(self.bias)


def loads(experts_NK: Tensor, num_experts: int) -> Tensor:
    """(E,) int64: how many tokens chose each expert."""
    return experts_NK.flatten().bincount(minlength=num_experts)
