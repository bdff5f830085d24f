"""A row of the table for each position, and an error where there is none."""

import pytest
import torch
from transformers.models.bart.modeling_bart import BartLearnedPositionalEmbedding
from transformers.models.roberta.modeling_roberta import RobertaEmbeddings

from zoo.errors import DataError
from zoo.nn.positions import PositionsShape
from zoo.nn.positions.learned import LearnedConfig, LearnedPositions

SHAPE = PositionsShape(dim=4, num_heads=2, head_dim=2, max_length=6, causal=True)


def positions(offset: int = 0) -> LearnedPositions:
    module = LearnedConfig(offset=offset).build(SHAPE)
    assert isinstance(module, LearnedPositions)
    torch.nn.init.normal_(module.table.weight)
    return module


def test_rows_are_added() -> None:
    module, hidden = positions(), torch.randn(2, 3, 4)
    where = torch.tensor([[0, 5, 2], [1, 1, 4]])
    torch.testing.assert_close(module.embed(hidden, where), hidden + module.table.weight[where])


@pytest.mark.parametrize("offset", [1, 2])
def test_offset_equals_bart_for_two(offset: int) -> None:
    module = positions(offset)
    theirs = BartLearnedPositionalEmbedding(SHAPE.max_length, SHAPE.dim)
    assert module.table.weight.shape == (SHAPE.max_length + offset, SHAPE.dim)
    assert module.num_positions == SHAPE.max_length
    where, hidden = torch.arange(SHAPE.max_length)[None], torch.zeros(1, SHAPE.max_length, SHAPE.dim)
    assert torch.equal(module.embed(hidden, where)[0], module.table.weight[offset:])
    if offset == 2:
        theirs.weight = module.table.weight
        assert torch.equal(module.embed(hidden, where), theirs(where))


def test_offset_equals_roberta() -> None:
    """It counts its real tokens from padding_idx + 1 = 2, in a table of two rows more than positions."""
    module, tokens = positions(2), torch.tensor([[5, 9, 7, 1, 1]])
    theirs = torch.nn.Embedding(SHAPE.max_length + 2, SHAPE.dim, _weight=module.table.weight, padding_idx=1)
    rows = theirs(RobertaEmbeddings.create_position_ids_from_input_ids(tokens, padding_idx=1))
    ours = module.embed(torch.zeros(1, 3, SHAPE.dim), torch.arange(3)[None])
    assert torch.equal(ours, rows[:, :3])


def test_only_used_rows_are_trained() -> None:
    module = positions()
    module.embed(torch.zeros(1, 2, 4), torch.tensor([[0, 3]])).sum().backward()
    assert module.table.weight.grad is not None
    assert module.table.weight.grad[:, 0].tolist() == [1, 0, 0, 1, 0, 0]


@pytest.mark.parametrize("offset", [0, 2])
@pytest.mark.parametrize("where, wrong", [([[0, 6]], 6), ([[-1, 2]], -1), ([[100]], 100)])
def test_positions_past_the_table(where: list[list[int]], wrong: int, offset: int) -> None:
    with pytest.raises(
        DataError, match=rf"position {wrong} is outside 0 … 5; shorten the input or choose a larger max"
    ):
        positions(offset).embed(torch.zeros(1, len(where[0]), 4), torch.tensor(where))


def test_table_has_a_row_for_each_position() -> None:
    assert positions().table.weight.shape == (SHAPE.max_length, SHAPE.dim)
