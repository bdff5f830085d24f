"""How much memory a run takes, for the log: of the machine and of the device."""

from __future__ import annotations

import psutil
import torch

HAVE_THEIR_OWN = ("cuda", "mps")
"""The types of device that have memory of their own to tell of."""


def memory_columns(device: torch.device) -> list[str]:
    """What `memory_row` has for this device."""
    return ["memory/process", "memory/system", *(["memory/device"] if device.type in HAVE_THEIR_OWN else [])]


def memory_row(device: torch.device) -> dict[str, float]:
    """Memory now, on this rank. On CUDA it begins the count of the device's peak anew.

    Returns:
        `memory/process`: bytes that are in the machine's memory for this process, data workers not counted.
        `memory/system`: share of the machine's memory that is in use, by whomever. `memory/device`: bytes, on CUDA the
        most that tensors have taken since the row before.
    """
    row: dict[str, float] = {
        "memory/process": psutil.Process().memory_info().rss,
        "memory/system": psutil.virtual_memory().percent / 100,
    }
    if device.type == "cuda":
        row["memory/device"] = torch.cuda.max_memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
    elif device.type == "mps":
        row["memory/device"] = torch.mps.driver_allocated_memory()
    return row
