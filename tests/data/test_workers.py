"""Processes that encode: their results come in order, their errors and their deaths are said, and none is left over."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from zoo.data import workers as module
from zoo.data.cache import BuildStopped
from zoo.data.encoding import Encoder
from zoo.data.filter import Filter, FilterConfig, Kept
from zoo.data.workers import available_cores, encoded
from zoo.tokenizer.train import BytesConfig

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="looks for processes in /proc")
ENCODER = Encoder(BytesConfig().train(), sentences=True)


def kept(count: int, size: int = 2) -> Iterator[Kept]:
    at_work = Filter(FilterConfig())
    for number in range(count):
        yield at_work.keep([f"Batch {number}. Dé {part}." if number % 3 else "" for part in range(size)])


def children() -> set[str]:
    """Processes below this one."""
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())


@pytest.mark.parametrize("num_workers", [0, 1, 2])
def test_results_come_in_order_and_equal_those_of_one_batch_alone(num_workers: int) -> None:
    alone = [(batch, ENCODER.encode(batch.texts, batch.numbers)) for batch in kept(10)]
    before = children()
    for (batch, one), (_, other) in zip(encoded(ENCODER, kept(10), num_workers), alone, strict=True):
        assert len(batch.texts) == len(one.lengths)
        for mine, theirs in zip(one, other, strict=True):
            assert np.array_equal(mine, theirs)
            assert mine.dtype == theirs.dtype
    assert children() <= before  # others, of tests before this one, may end meanwhile


@pytest.mark.parametrize("limit, most", [(1 << 23, 5), (1, 3)])
def test_few_batches_are_read_ahead(limit: int, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_AHEAD_BYTES", limit)
    read = []

    def watched() -> Iterator[Kept]:
        for batch in kept(100, 1):
            read.append(batch)
            yield batch

    results = encoded(ENCODER, watched(), 2)
    for done in range(20):
        next(results)
        assert len(read) <= done + most
    results.close()


def test_a_process_that_dies_is_said_and_the_others_end() -> None:
    before = children()
    results = encoded(ENCODER, kept(1_000), 2)
    next(results)
    for process in children() - before:
        os.kill(int(process), signal.SIGKILL)
    with pytest.raises(BuildStopped, match=r"killed by signal 9; .*memory.*goes on .*data\.num_workers"):
        list(results)
    assert children() <= before


def test_a_process_that_cannot_start_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.sys, "executable", "/nowhere/python")
    with pytest.raises(BuildStopped, match=r"cannot start a process .*data\.num_workers"):
        list(encoded(ENCODER, kept(3), 1))


def test_an_error_of_the_reader_passes_and_leaves_no_process() -> None:
    def broken() -> Iterator[Kept]:
        yield from kept(3)
        raise KeyboardInterrupt

    before = children()
    with pytest.raises(KeyboardInterrupt):
        list(encoded(ENCODER, broken(), 2))
    assert children() <= before


def test_processes_end_when_the_one_that_started_them_is_killed() -> None:
    born, report = os.pipe()
    parent = os.fork()
    if not parent:
        try:
            mine = children()
            results = encoded(ENCODER, kept(1_000), 1)
            next(results)
            os.write(report, " ".join(children() - mine).encode())
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    os.close(report)
    os.waitpid(parent, 0)
    (worker,) = os.read(born, 100).decode().split()
    os.close(born)
    deadline = time.monotonic() + 300
    while _is_running(int(worker)):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_cores() -> None:
    assert 1 <= available_cores() <= (os.cpu_count() or 1)
