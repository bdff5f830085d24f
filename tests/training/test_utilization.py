"""How busy a run keeps the machine."""

import time

import pytest
import torch

from zoo.training.utilization import DEVICE, PROCESS, Utilization

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def test_work_counts_and_waiting_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    clocks = {"perf_counter": 100.0, "process_time": 7.0}
    for name in clocks:
        monkeypatch.setattr(time, name, lambda name=name: clocks[name])
    monkeypatch.setattr("zoo.training.utilization._usable_cores", lambda: 4)
    used = Utilization(CPU)
    assert used.columns == [PROCESS]
    found = []
    for wall, busy in ((10, 10), (10, 40), (5, 0), (2, 1)):
        clocks["perf_counter"] += wall
        clocks["process_time"] += busy
        found.append(used.row())
    assert found == [{PROCESS: share} for share in (0.25, 1.0, 0.0, 0.125)]


def test_the_clocks_are_those_of_this_process() -> None:
    used = Utilization(CPU)
    time.sleep(0.3)
    asleep = used.row()[PROCESS]
    end = time.process_time() + 0.2
    while time.process_time() < end:
        pass
    assert 0 <= asleep < used.row()[PROCESS] <= 1.1


def test_a_device_that_tells(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(torch.cuda, "utilization", lambda device: 87)
    used = Utilization(CUDA)
    assert used.columns == [PROCESS, DEVICE]
    assert used.row()[DEVICE] == 0.87
    used.say_what_is_missing()
    assert capsys.readouterr().err == ""

    def lost(device: torch.device) -> int:
        raise RuntimeError("GPU is lost")

    monkeypatch.setattr(torch.cuda, "utilization", lost)
    assert list(used.row()) == [PROCESS]  # blank in the log, and the run goes on


@pytest.mark.parametrize("error", [ModuleNotFoundError("nvidia-ml-py does not seem to be installed"), ValueError()])
def test_a_device_that_does_not_tell(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(device: torch.device) -> int:
        raise error

    monkeypatch.setattr(torch.cuda, "utilization", refuse)
    used = Utilization(CUDA)
    assert used.columns == list(used.row()) == [PROCESS]
    used.say_what_is_missing()
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert told.startswith(f"note: {DEVICE} is not logged: ")
    assert (str(error) or type(error).__name__) in told


@pytest.mark.gpu
def test_a_real_device_tells_or_says_why() -> None:
    used = Utilization(CUDA)
    assert bool(used.reason) != (DEVICE in used.columns)
    assert 0 <= used.row().get(DEVICE, 0.0) <= 1
