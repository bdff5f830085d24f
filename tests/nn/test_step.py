"""Parts watch the forwards of a training step, and nothing outside of one."""

import pytest
import torch
from torch import Tensor, nn

from zoo.nn.step import StepAware, step_aware, watched


class Sized(StepAware):
    """Adds its mean to the loss."""

    def forward(self, x: Tensor) -> Tensor:
        if self.watching:
            assert self.losses is not None
            self.losses.append(x.mean())
        return x


def test_only_a_watched_forward_leaves_losses() -> None:
    model = nn.Sequential(Sized(), nn.ReLU(), nn.Sequential(Sized(), StepAware()))
    parts = step_aware(model)
    assert [type(part) for part in parts] == [Sized, Sized, StepAware]
    x = torch.tensor([-1.0, 3.0])
    model[0](x)
    with watched(parts) as losses:
        model[2][0](model[1](model[0](x)))
    assert losses == [1.0, 1.5]
    model[0](x)
    assert losses == [1.0, 1.5]
    assert not any(part.watching for part in parts)


def test_an_error_ends_the_watching() -> None:
    part = Sized()
    with pytest.raises(ZeroDivisionError), watched([part]):
        raise ZeroDivisionError
    assert not part.watching


def test_a_part_that_counts_nothing() -> None:
    assert StepAware().take_counts() is None
    assert not StepAware().adds_loss
