"""What the device can do at most, to say how much of it a run uses (MFU).

Known accelerators: the dense matrix rate of the vendor's datasheet. Everything else is measured once, as the best of a
few large matrix products in the precision of the run.
"""

from __future__ import annotations

import time

import torch

from zoo.training.devices import reported_device


def peak_flops(device: torch.device, dtype: torch.dtype, *, size: int = 1024, repeats: int = 5) -> float:
    """The most FLOP/s that matrix products reach on this device in this dtype.

    Args:
        device: where the run computes.
        dtype: what its matrix products are in.
        size: edge of the square matrices of the measurement.
        repeats: products to take the best of.
    """
    if device.type == "cuda" and dtype in (torch.bfloat16, torch.float16):  # tensor cores take both at one rate
        known = reported_device(torch.cuda.get_device_name(device))
        if known is not None:
            return known.bf16
    if device.type == "cpu" and dtype == torch.float16:
        size //= 4  # many CPUs have no fast products of float16, and a large one takes seconds
    left = torch.full((size, size), 0.5, device=device, dtype=dtype)
    right = torch.full((size, size), 0.25, device=device, dtype=dtype)
    best = float("inf")
    for _ in range(repeats + 1):
        _wait(device)
        start = time.perf_counter()
        torch.mm(left, right)
        _wait(device)
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
