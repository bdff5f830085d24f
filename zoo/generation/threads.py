"""How many threads a step of decoding has on a CPU.

A step of a small model is some hundred products of a few microseconds each. Shared out, each waits for the slowest
thread to wake up, which takes longer than the product where the machine has other work: 4 layers of width 128 then
wrote 1.4 to 1.9 times as many tokens a second in one thread as in two.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from zoo.nn.few_rows import SMALLEST


def is_small(model: nn.Module) -> bool:
    """Whether no matrix of a model is worth sharing out over threads, where a step multiplies it by a few rows."""
    return all(
        parameter.device.type == "cpu" and parameter.numel() < SMALLEST
        for parameter in model.parameters()
        if parameter.dim() > 1
    )


@contextmanager
def one_thread(wanted: bool) -> Iterator[None]:
    """Inside, torch has one thread if that is wanted; afterwards as many as before."""
    before = torch.get_num_threads()
    if not wanted or before == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
