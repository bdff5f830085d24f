"""Memory in the log."""

import torch

from zoo.training.memory_use import memory_columns, memory_row


def test_row_of_a_machine_without_a_device() -> None:
    cpu = torch.device("cpu")
    row = memory_row(cpu)
    assert list(row) == memory_columns(cpu) == ["memory/process", "memory/system"]
    assert 0 < row["memory/system"] < 1
    assert 10e6 < row["memory/process"] < 1e12


def test_process_takes_what_it_takes() -> None:
    before = memory_row(torch.device("cpu"))["memory/process"]
    held = torch.ones(64 << 20, dtype=torch.uint8)
    assert memory_row(torch.device("cpu"))["memory/process"] - before > 0.9 * held.numel()


def test_devices_with_memory_of_their_own_have_a_column() -> None:
    assert memory_columns(torch.device("cuda"))[-1] == memory_columns(torch.device("mps"))[-1] == "memory/device"
