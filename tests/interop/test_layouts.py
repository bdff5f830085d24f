"""Each layout against a plain picture of it, and back again."""

import pytest
import torch
from torch import Tensor

from zoo.interop.layouts import AsRow, ByHead, FirstRowsLast, Layout, Stacked


def numbered(*shape: int, start: int = 0) -> Tensor:
    return torch.arange(start, start + torch.Size(shape).numel()).reshape(shape)


PICTURES: list[tuple[Layout, list[Tensor], Tensor]] = [
    (Stacked(), [numbered(2, 3), numbered(1, 3, start=6)], numbered(3, 3)),
    (Stacked(transposed=True), [numbered(1, 2), numbered(1, 2, start=2)], torch.tensor([[0, 2], [1, 3]])),
    (Stacked(transposed=True), [numbered(2), numbered(1, start=2)], numbered(3)),
    (ByHead(2), [numbered(2), numbered(4, start=10)], torch.tensor([0, 10, 11, 1, 12, 13])),
    (ByHead(2), [numbered(2, 1), numbered(2, 1, start=10)], torch.tensor([[0], [10], [1], [11]])),
    (FirstRowsLast(2, 1), [numbered(6)], torch.tensor([1, 2, 0, 4, 5, 3])),
    (AsRow(), [numbered(3)], numbered(1, 3)),
]


@pytest.mark.parametrize("layout, ours, foreign", PICTURES)
def test_both_directions(layout: Layout, ours: list[Tensor], foreign: Tensor) -> None:
    assert torch.equal(layout.to_foreign(ours), foreign)
    back = layout.to_ours(foreign, [tensor.shape for tensor in ours])
    assert len(back) == len(ours)
    assert all(torch.equal(one, other) for one, other in zip(back, ours, strict=True))


@pytest.mark.parametrize("layout, ours, foreign", PICTURES)
def test_shapes_are_known_without_numbers(layout: Layout, ours: list[Tensor], foreign: Tensor) -> None:
    assert layout.to_foreign([tensor.to("meta") for tensor in ours]).shape == foreign.shape


def test_layouts_of_two_classes_are_never_equal() -> None:
    """Shapes are remembered by layout: one head in turn is not a matrix that is turned."""
    assert Stacked(transposed=True) != ByHead(1)
    assert AsRow() != Stacked()
    assert ByHead(2) == ByHead(2)
    assert hash(ByHead(2)) == hash(ByHead(2))
