"""Each sum equals its formula."""

import pytest
import torch

from zoo.nn.linear import Depth
from zoo.nn.residual_sum import ResidualConfig

FORMULAS = {"plain": lambda hidden, branch: hidden + branch}


def test_every_kind_has_a_formula_here() -> None:
    assert set(FORMULAS) == set(ResidualConfig.choices)


@pytest.mark.parametrize("kind", FORMULAS)
def test_formula(kind: str) -> None:
    hidden, branch = torch.randn(2, 3, 4, dtype=torch.float64), torch.randn(2, 3, 4, dtype=torch.float64)
    module = ResidualConfig.choice(kind)().build(4, Depth(3)).double()
    torch.testing.assert_close(module(hidden, branch), FORMULAS[kind](hidden, branch))
