"""A part that must know about padding is told, and computes over what is real."""

import torch
from torch import nn

from zoo.nn.padding import PaddingAware, padding_aware, tell_padding

HIDDEN = torch.arange(12.0).reshape(2, 3, 2)
DOCUMENTS = torch.tensor([[0, 0, -1], [-1, 4, 7]])


def test_real_places() -> None:
    part = PaddingAware()
    tell_padding([part], DOCUMENTS)
    assert torch.equal(part.real(HIDDEN), HIDDEN[DOCUMENTS >= 0])
    tell_padding([part], None)
    assert torch.equal(part.real(HIDDEN), HIDDEN.flatten(0, 1))


def test_rows_that_are_gathered_already_are_all_real() -> None:
    part = PaddingAware()
    tell_padding([part], DOCUMENTS)
    assert torch.equal(part.real(HIDDEN.flatten(0, 1)), HIDDEN.flatten(0, 1))


def test_one_row_of_documents_for_all() -> None:
    part = PaddingAware()
    tell_padding([part], DOCUMENTS[:1])
    assert torch.equal(part.real(HIDDEN), HIDDEN[:, :2].flatten(0, 1))


def test_parts_are_found_at_any_depth() -> None:
    inner = PaddingAware()
    assert padding_aware(nn.Sequential(nn.Identity(), nn.ModuleList([inner]))) == [inner]
    assert padding_aware(nn.Linear(1, 1)) == []
