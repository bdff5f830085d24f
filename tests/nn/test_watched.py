"""What looks at numbers knows when operations are taken down."""

import pytest
import torch
from torch import Tensor

from zoo.nn.watched import is_watched, recording


def test_inside_a_recording_and_only_there() -> None:
    def fails() -> None:
        with recording():
            assert is_watched()
            raise ZeroDivisionError

    assert not is_watched()
    with pytest.raises(ZeroDivisionError):
        fails()
    assert not is_watched()


def test_inside_what_torch_compiles() -> None:
    def told(x: Tensor) -> Tensor:
        return x + int(is_watched())

    assert int(torch.compile(told, backend="eager", fullgraph=True)(torch.zeros(()))) == 1
