"""The one residual wrapper, and the table of norm placements.

    outer(skip · x + scale · dropout(after(sublayer(before(x)))))

Each slot is a norm or the identity, chosen at construction; the forward has no branch. How the sum weighs skip and
branch is `residual_sum.py`'s.

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

from torch import Tensor, nn

from zoo.nn.linear import Depth
from zoo.nn.norm import NormConfig
from zoo.nn.residual_sum import ResidualConfig
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


class Wrapping(NamedTuple):
    """What the residual branches of one layer share.

    Attributes:
        norm: which norm the slots hold.
        dim: width D.
        dropout: probability of dropping an element of a branch before it is added.
        residual: how skip and branch are summed.
        depth: of the model.
        layer: number of the layer, from 0.
        branch_dropout: probability of dropping a whole branch of a row.
    """

    norm: NormConfig
    dim: int
    dropout: float
    residual: ResidualConfig
    depth: Depth = Depth()
    layer: int = 0
    branch_dropout: float = 0.0


class Branch(nn.Module):
    """drop(dropout(after(sublayer(before(x))))): what a sublayer adds to the residual stream.

    Args:
        sublayer: maps (B, T, D) and whatever else it is called with to (B, T, D).
        placement: which slots hold a norm.
        wrapping: norm, width, dropout.
    """

    def __init__(self, sublayer: nn.Module, placement: Placement, wrapping: Wrapping) -> None:
        super().__init__()
        norm, dim, dropout = wrapping.norm, wrapping.dim, wrapping.dropout
        self.before = norm.build(dim) if placement.before else nn.Identity()
        self.sublayer = sublayer
        self.after = norm.build(dim) if placement.after else nn.Identity()
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()
        self.drop = StochasticDepth(wrapping.branch_dropout) if wrapping.branch_dropout else nn.Identity()

    def branch(self, hidden_BTD: Tensor, *arguments: Any) -> Tensor:
        """(B, T, D) → (B, T, D), not added yet; `arguments` go on to the sublayer."""
        return self.drop(self.dropout(self.after(self.sublayer(self.before(hidden_BTD), *arguments))))

    def forward(self, hidden_BTD: Tensor, *arguments: Any) -> Tensor:
        """The branch."""
        return self.branch(hidden_BTD, *arguments)


class StochasticDepth(nn.Module):
    """Drops the whole branch of a row in training, and scales up what is kept.

    Huang et al. 2016, arXiv:1603.09382. Deviations: it draws for each row of a batch, where the paper draws once a
    batch, and it scales in training, where the paper scales in evaluation.

    Args:
        rate: probability of dropping.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, branch_BTD: Tensor) -> Tensor:
        """(B, T, D) of (B, T, D)."""
        kept_B11 = branch_BTD.new_ones(branch_BTD.shape[0], 1, 1)
        return branch_BTD * nn.functional.dropout(kept_B11, self.rate, self.training)


class Residual(Branch):
    """A sublayer on a residual branch, added to the stream; arguments as in Branch."""

    def __init__(self, sublayer: nn.Module, placement: Placement, wrapping: Wrapping) -> None:
        super().__init__(sublayer, placement, wrapping)
        self.sum = wrapping.residual.build(wrapping.dim, wrapping.depth)
        self.outer = wrapping.norm.build(wrapping.dim) if placement.outer else nn.Identity()

    def forward(self, hidden_BTD: Tensor, *arguments: Any) -> Tensor:
        """(B, T, D) → (B, T, D); `arguments` go on to the sublayer."""
        return self.outer(self.sum(hidden_BTD, self.branch(hidden_BTD, *arguments)))
