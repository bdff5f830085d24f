"""Weights stay unset until they are initialized, know their site, and refuse indices outside their table."""

import pytest
import torch
from torch.nn import functional

from zoo.errors import DataError
from zoo.nn.linear import Depth, Embedding, Linear, Site


def test_linear_is_torchs_once_filled() -> None:
    layer = Linear(3, 2, site=Site("query", Depth(2), 8))
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_()
    x = torch.randn(5, 3)
    assert torch.equal(layer(x), functional.linear(x, layer.weight, layer.bias))
    assert layer.site == ("query", Depth(2), 8, 0)
    assert Linear(3, 2, False, site=Site("key")).bias is None


def test_nothing_is_drawn() -> None:
    state = torch.get_rng_state()
    Linear(30, 20, site=Site("query"))
    Embedding(30, 20, site=Site("token_embedding"))
    assert torch.equal(torch.get_rng_state(), state)


def test_padding_row_gets_no_gradient_from_looking_up() -> None:
    table = Embedding(4, 2, site=Site("token_embedding"), padding_index=1)
    with torch.no_grad():
        table.weight.fill_(1.0)
    table(torch.tensor([0, 1, 1, 3])).sum().backward()
    assert table.weight.grad is not None
    assert table.weight.grad[:, 0].tolist() == [1, 0, 0, 1]


@pytest.mark.parametrize("index, wrong", [([0, 4], 4), ([-1, 2], -1), ([[9], [0]], 9)])
def test_index_outside_the_table(index: list[int], wrong: int) -> None:
    table = Embedding(4, 2, site=Site("token_embedding"))
    with pytest.raises(DataError, match=rf"token id {wrong} is outside 0 … 3; look it up"):
        table.check(torch.tensor(index), "token id", "look it up")


@pytest.mark.parametrize("index", [[0, 3], [], [[1], [2]]])
def test_index_inside_the_table(index: list[int]) -> None:
    Embedding(4, 2, site=Site("token_embedding")).check(torch.tensor(index, dtype=torch.long), "token id", "")


def test_meta_tensors_are_not_read() -> None:
    Embedding(4, 2, site=Site("token_embedding")).check(torch.zeros(2, dtype=torch.long, device="meta"), "", "")


def test_branches_of_a_stack() -> None:
    assert Depth(4).num_branches == Depth(0, 4, True).num_branches == 8
    assert Depth(4, 3, True).num_branches == 9
    assert Depth(4, absent_branches=4).num_branches == 4
