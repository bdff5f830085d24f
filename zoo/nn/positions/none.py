"""No positions at all (NoPE; Haviv et al. 2022, arXiv:2203.16634): a causal stack still learns order from its mask."""

from dataclasses import dataclass

from zoo.nn.positions.base import Positions, PositionsConfig, PositionsShape


@dataclass(frozen=True, kw_only=True)
class NoPositionsConfig(PositionsConfig, kind="none"):
    """No positional scheme."""

    def build(self, shape: PositionsShape) -> Positions:
        """The scheme whose hooks do nothing."""
        return Positions()
