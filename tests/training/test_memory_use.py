"""Memory in the log."""

import pytest
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
    # half: a system that is short of memory may take pages of this process away meanwhile
    assert memory_row(torch.device("cpu"))["memory/process"] - before > 0.5 * held.numel()


def test_devices_with_memory_of_their_own_have_a_column() -> None:
    assert memory_columns(torch.device("cuda"))[-1] == memory_columns(torch.device("mps"))[-1] == "memory/device"


def test_peak_of_a_cuda_device_is_that_since_the_row_before(monkeypatch: pytest.MonkeyPatch) -> None:
    class Cuda:
        """Counts as torch does: the peak is at least what is held."""

        def __init__(self) -> None:
            self.held = self.peak = 0

        def take(self, size: int) -> None:
            self.held += size
            self.peak = max(self.peak, self.held)

        def begin_anew(self, device: torch.device) -> None:
            self.peak = self.held

    cuda = Cuda()
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: cuda.peak)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", cuda.begin_anew)
    found = []
    for sizes in ((100, 900, -900), (50, -50), (), (300, -400)):
        for size in sizes:
            cuda.take(size)
        found.append(memory_row(torch.device("cuda"))["memory/device"])
    assert found == [1000, 150, 100, 400]
