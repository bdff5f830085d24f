"""The one residual wrapper, and the table of norm placements.

    outer(skip · x + scale · dropout(after(sublayer(before(x)))))

Each of the three slots is a norm or the identity, chosen at construction; the forward has no branch.

| placement     | before | after | outer | used by                                                |
|---------------|--------|-------|-------|--------------------------------------------------------|
| pre           | norm   |       |       | GPT-2, T5, Llama (Xiong et al. 2020, arXiv:2002.04745) |
| post          |        |       | norm  | the original Transformer, BERT                         |
| sandwich      | norm   | norm  |       | Gemma 2 (CogView, Ding et al. 2021, arXiv:2105.13290)  |
| branch_output |        | norm  |       | OLMo 2 (arXiv:2501.00656), Swin v2                     |
| none          |        |       |       | ablations                                              |
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from zoo.nn.norm import NormConfig
from zoo.registry import Registry


class Placement(NamedTuple):
    """Which slots of the residual wrapper hold a norm."""

    before: bool = False
    after: bool = False
    outer: bool = False

    @property
    def needs_final_norm(self) -> bool:
        """Whether the stack ends with a norm of its own: the residual stream itself was never normalized."""
        return (self.before or self.after) and not self.outer


PLACEMENTS: Registry[Placement] = Registry(
    "norm placement",
    {
        "pre": Placement(before=True),
        "post": Placement(outer=True),
        "sandwich": Placement(before=True, after=True),
        "branch_output": Placement(after=True),
        "none": Placement(),
    },
)
"""Norm placements by name; a new one is a row here."""


class Weights(NamedTuple):
    """Factors of the residual sum: DeepNorm raises the skip, LayerScale and its kin scale the branch."""

    skip: float = 1.0
    scale: float = 1.0

    def add(self, hidden_BTD: Tensor, branch_BTD: Tensor) -> Tensor:
        """skip · hidden + scale · branch."""
        return self.skip * hidden_BTD + self.scale * branch_BTD


PLAIN_SUM = Weights()


class Residual(nn.Module):
    """A sublayer on a residual branch.

    Args:
        sublayer: maps (B, T, D) and whatever else it is called with to (B, T, D).
        placement: which slots hold a norm.
        norm: which norm that is.
        dim: width D.
        dropout: probability of dropping an element of the branch before it is added.
        weights: factors of the sum.
    """

    def __init__(
        self,
        sublayer: nn.Module,
        placement: Placement,
        norm: NormConfig,
        dim: int,
        dropout: float,
        weights: Weights = PLAIN_SUM,
    ) -> None:
        super().__init__()
        self.before = norm.build(dim) if placement.before else nn.Identity()
        self.sublayer = sublayer
        self.after = norm.build(dim) if placement.after else nn.Identity()
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()
        self.outer = norm.build(dim) if placement.outer else nn.Identity()
        self.add = torch.add if weights == PLAIN_SUM else weights.add

    def forward(self, hidden_BTD: Tensor, *arguments: Any) -> Tensor:
        """(B, T, D) → (B, T, D); `arguments` go on to the sublayer."""
        branch_BTD = self.sublayer(self.before(hidden_BTD), *arguments)
        return self.outer(self.add(hidden_BTD, self.dropout(self.after(branch_BTD))))
