"""How much memory this machine has."""

from __future__ import annotations

import os
from pathlib import Path

import torch

CONTAINER_LIMIT = Path("/sys/fs/cgroup/memory.max")
"""Where Linux says how much memory a container may have: bytes, or "max"."""


def memory_of(device: str) -> int:
    """Bytes of memory that this machine has for a type of device, as torch names it."""
    if device == "cuda":
        return torch.cuda.get_device_properties(0).total_memory
    if device == "mps":
        return torch.mps.recommended_max_memory()
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = CONTAINER_LIMIT.read_text().strip() if CONTAINER_LIMIT.is_file() else "max"
    return physical if limit == "max" else min(physical, int(limit))
