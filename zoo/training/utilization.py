"""How much of the machine a run keeps busy, for the log. What of that is useful work is another figure: MFU."""

from __future__ import annotations

import os
import sys
import time

import torch

PROCESS, DEVICE = "utilization/process", "utilization/device"


class Utilization:
    """Measures from row to row, on this rank.

    Args:
        device: that the run computes on.

    Attributes:
        reason: why the device's own figure is not to be had; "": it is, or there is no such figure for its type.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.reason = ""
        self._has_device = device.type == "cuda" and self._device_share() is not None
        self._cores = _usable_cores()
        self._clocks = time.perf_counter(), time.process_time()

    @property
    def columns(self) -> list[str]:
        """What `row` has."""
        return [PROCESS, *([DEVICE] if self._has_device else [])]

    def row(self) -> dict[str, float]:
        """Shares from 0 to 1.

        Returns:
            `utilization/process`: time that processors spent on this process since the row before (or since the start),
            over that time and the cores that it may use; data workers are not counted. `utilization/device`, on CUDA:
            share of the driver's last sample (1/6 to 1 second) in which a kernel ran, of whatever process.
        """
        before, self._clocks = self._clocks, (time.perf_counter(), time.process_time())
        wall, busy = (now - then for now, then in zip(self._clocks, before, strict=True))
        found = {PROCESS: busy / (max(wall, 1e-9) * self._cores)}
        if self._has_device and (share := self._device_share()) is not None:
            found[DEVICE] = share
        return found

    def say_what_is_missing(self) -> None:
        """On stderr, in one line, where the device's figure is not to be had."""
        if self.reason:
            print(f"note: {DEVICE} is not logged: {self.reason} (pip install nvidia-ml-py)", file=sys.stderr)

    def _device_share(self) -> float | None:
        try:
            return torch.cuda.utilization(self._device) / 100
        except Exception as error:  # no library, no driver, a sliced device: of many types, and no reason to end a run
            self.reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            return None


def _usable_cores() -> int:
    """Those of the machine that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
