"""A block is its three sublayers one after the other."""

import ast
import inspect
import textwrap

import pytest
import torch
from torch import Tensor, nn

from zoo.nn.attend import KERNELS, Prepared
from zoo.nn.attention import AttentionContext, no_rotation
from zoo.nn.block import Absent, Block, BlockInputs


class Recorder(nn.Module):
    """Adds a number and remembers what it was called with."""

    def __init__(self, number: float) -> None:
        super().__init__()
        self.number = number
        self.calls: list[tuple[object, ...]] = []

    def forward(self, hidden_BTD: Tensor, *arguments: object) -> Tensor:
        self.calls.append(arguments)
        return hidden_BTD * 10 + self.number


OWN = AttentionContext(KERNELS["reference"], Prepared(None), no_rotation)
OTHER = AttentionContext(KERNELS["reference"], Prepared(None, causal=True), no_rotation)


@pytest.mark.parametrize("cross", [False, True])
def test_order_and_arguments(cross: bool) -> None:
    parts = (Recorder(1), Recorder(2) if cross else Absent(), Recorder(3))
    memory, cache = torch.zeros(1, 2, 3), object()
    inputs = BlockInputs(OWN, memory, OTHER) if cross else BlockInputs(OWN)
    out = Block(*parts)(torch.zeros(1, 1, 1), inputs, cache)
    assert out.item() == (123 if cross else 13)
    assert parts[0].calls == [(OWN, None, cache)]
    assert parts[2].calls == [()]
    if isinstance(parts[1], Recorder):
        assert parts[1].calls == [(OTHER, memory)]


def test_forward_has_no_branch() -> None:
    tree = ast.parse(textwrap.dedent(inspect.getsource(Block.forward)))
    assert not any(isinstance(node, ast.If | ast.IfExp | ast.Match | ast.For | ast.While) for node in ast.walk(tree))
