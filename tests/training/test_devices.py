"""The table of devices."""

import pytest
import torch

from zoo.errors import ConfigError
from zoo.training.devices import DEVICES, reported_device


@pytest.mark.parametrize("name", DEVICES)
def test_each_row_is_plausible(name: str) -> None:
    device = DEVICES[name]
    assert 1e13 < device.float32 < device.bf16 < 1e16
    assert 8 <= device.memory <= 512
    assert "datasheet" in device.source or "whitepaper" in device.source
    assert all(reported_device(reported) is device for reported in device.reported)


def test_there_are_a_dozen() -> None:
    assert len(DEVICES) >= 12


def test_rates() -> None:
    h100 = DEVICES["h100"]
    assert h100.flops(torch.bfloat16) == h100.flops(torch.float16) == 989e12
    assert h100.flops(torch.float32) == 67e12
    with pytest.raises(ConfigError, match="float64"):
        h100.flops(torch.float64)


def test_what_torch_does_not_name_so_is_not_in_the_table() -> None:
    assert reported_device("NVIDIA H100") is None
