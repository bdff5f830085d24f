"""A layer whose sublayers all read the same hidden state and are added to the stream together, in one residual step.

    outer(sum(x, attention(norm x) + cross_attention(norm x) + feed_forward(norm x)))

Wang & Komatsuzaki 2021 (GPT-J-6B, github.com/kingoflolz/mesh-transformer-jax): one norm for all sublayers. Black et al.
2022 (GPT-NeoX-20B, arXiv:2204.06745, section 2.1): one norm each. Neither has cross-attention; here it is one more
branch. What a residual sum scales (LayerScale, DeepNorm) is the whole step, that is, all branches together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor, nn

from zoo.config import setting
from zoo.errors import ConfigError
from zoo.nn.attention import LayerCache
from zoo.nn.block import Absent, BlockConfig, BlockInputs, Placements, Sublayers
from zoo.nn.residual import Branch, Placement, Wrapping


@dataclass(frozen=True, kw_only=True)
class ParallelBlockConfig(BlockConfig, kind="parallel"):
    """All sublayers read the same hidden state and are added together."""

    shared_norm: bool = setting(False, "one norm before all sublayers (GPT-J) in place of one before each (GPT-NeoX)")

    def check(self, placements: Placements) -> None:
        """Refuses two answers to what there is once only: the norm after the sum, and the one before that is shared."""
        attention, rest = placements
        if attention.outer != rest.outer:
            raise ConfigError(
                "kind 'parallel' adds all sublayers in one step, so the norm after the sum ('post') is there for all "
                "of them or for none; let attention_placement and placement agree on it",
                "attention_placement",
            )
        if self.shared_norm and not (attention.before and rest.before):
            raise ConfigError(
                "true shares the norm before the sublayers, and these placements have none before all of them; set "
                "placement to one with a norm before (pre, sandwich) and leave attention_placement out",
                "block.shared_norm",
            )

    def build(self, sublayers: Sublayers, placements: Placements, wrapping: Wrapping) -> nn.Module:
        """The block."""
        attention, rest = (
            placement._replace(before=placement.before and not self.shared_norm) for placement in placements
        )
        cross_attention, feed_forward = (
            Absent() if sublayer is None else Branch(sublayer, rest, wrapping)
            for sublayer in (sublayers.cross_attention, sublayers.feed_forward)
        )
        branches = Branches(Branch(sublayers.self_attention, attention, wrapping), cross_attention, feed_forward)
        return ParallelBlock(branches, Placement(before=self.shared_norm, outer=rest.outer), wrapping)


class Branches(NamedTuple):
    """The residual branches of a block."""

    self_attention: Branch
    cross_attention: Branch | Absent
    feed_forward: Branch | Absent


class ParallelBlock(nn.Module):
    """Self-attention, cross-attention and feed-forward side by side.

    Args:
        branches: what is added up.
        placement: of the norm that all branches read through, and of the one after the sum.
        wrapping: norm, width and sum.
    """

    def __init__(self, branches: Branches, placement: Placement, wrapping: Wrapping) -> None:
        super().__init__()
        norm, dim = wrapping.norm, wrapping.dim
        self.before = norm.build(dim) if placement.before else nn.Identity()
        self.self_attention, self.cross_attention, self.feed_forward = branches
        self.sum = wrapping.residual.build(dim, wrapping.depth)
        self.outer = norm.build(dim) if placement.outer else nn.Identity()

    def forward(self, hidden_BTD: Tensor, inputs: BlockInputs, cache: LayerCache | None = None) -> Tensor:
        """(B, T, D) → (B, T, D)."""
        normed_BTD = self.before(hidden_BTD)
        branches_BTD = (
            self.self_attention.branch(normed_BTD, inputs.context, None, cache)
            + self.cross_attention.branch(normed_BTD, inputs.memory_context, inputs.memory_BSD)
            + self.feed_forward.branch(normed_BTD)
        )
        return self.outer(self.sum(hidden_BTD, branches_BTD))
