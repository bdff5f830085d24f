"""What a run would take, as rows of a table: tokens, operations, hours and memory on a device. Nothing is trained."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from zoo.errors import ConfigError
from zoo.memory import memory_of
from zoo.models import Model
from zoo.models.shapes import awkward_shapes
from zoo.quantity import short_number
from zoo.training.accumulation import GIB, legal_numbers, smallest_fitting
from zoo.training.config import RunConfig
from zoo.training.cost import Cost, load, ranks, row_shapes, run_cost
from zoo.training.devices import DEVICES
from zoo.training.kernels import DEVICES as TYPES
from zoo.training.launch import device_type
from zoo.training.memory import Memory, step_memory
from zoo.training.peak import peak_flops
from zoo.training.precision import FORMATS

Row = tuple[str, str]


def run_rows(config: RunConfig, model: Model, device: str | None, mfu: float) -> Iterator[Row]:
    """(what, how much) for a run.

    Args:
        config: the run; the vocabulary of its model is known.
        model: what it trains.
        device: a name of the table of devices; None: the one that is here.
        mfu: share of the device's peak that the run reaches.
    """
    kind = _device_type(config, device)
    rate, words = _rate(config, kind, device, mfu)
    if rate or config.trainer.budget.unit != "hours":
        yield from _budget_rows(config, run_cost(config, model, rate))
        hours = f"{_three_digits(run_cost(config, model, rate).hours(rate))} " if rate else ""
    else:
        hours = f"{config.trainer.budget.limit:g}; how many tokens that are, a device tells: "
    yield "hours", hours + words
    yield from _memory_rows(config, kind, device)
    if config.init_from is not None:
        drawn = f"model.initialization ({config.model.initialization.kind}) draws only heads that it lacks"
        yield "initial weights", f"those of {config.init_from}; {drawn}"


def _budget_rows(config: RunConfig, cost: Cost) -> Iterator[Row]:
    """How much a run reads and computes."""
    lengths = " or ".join(
        f"{shape.length:,} + {shape.decoder_length:,}" if shape.decoder_length else f"{shape.length:,}"
        for shape in row_shapes(config)
    )
    grows = config.trainer.batch_warmup is not None or config.trainer.length_warmup is not None
    yield "rows of a step", f"{config.trainer.batch_size:,} of {lengths} tokens{', once it has grown' * grows}"
    yield "tokens of the run", f"{short_number(cost.tokens)} in {cost.steps:,} steps"
    yield "training FLOPs of the run", f"{cost.flops:.3g}"


def shape_rows(model: Model) -> list[Row]:
    """(setting, what GPUs do badly about it and what to do)."""
    return list(awkward_shapes(model))


def _device_type(config: RunConfig, device: str | None) -> str:
    """Type of the device, as torch names it; "" where the run wants one that is not here and none is named."""
    if device is not None:
        return "cuda"
    here = device_type(config.trainer.accelerator)
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    return here if present.get(here, True) else ""


def _rate(config: RunConfig, kind: str, device: str | None, mfu: float) -> tuple[float, str]:
    """Operations a second that the run does on all its devices, and on which and how that was told; 0: not known."""
    dtype = FORMATS[config.trainer.precision].products
    if device is not None:
        peak, source = DEVICES[device].flops(dtype), DEVICES[device].source
    elif kind:
        peak, source = peak_flops(torch.device(kind), dtype), "measured now"
    else:
        return 0.0, f"there is no {TYPES[config.trainer.accelerator][0]} device here; name one with --device"
    num = ranks(config)
    name = f"{num} × {device or kind}" if num > 1 else device or kind
    return num * mfu * peak, f"on {name} at {100 * mfu:g} % of {short_number(peak)} FLOP/s ({source})"


def _memory_rows(config: RunConfig, kind: str, device: str | None) -> Iterator[Row]:
    """What a step takes, and whether that fits."""
    there = kind or TYPES[config.trainer.accelerator][0]
    available = None
    if device is not None:
        available = DEVICES[device].memory * GIB
    elif kind:
        available = memory_of(kind)
    wanted = config.trainer.accumulate
    limit = available if config.trainer.memory_limit is None else config.trainer.memory_limit * GIB
    try:
        number = wanted if wanted != "auto" else 1 if limit is None else smallest_fitting(config, there, limit)
    except ConfigError:
        number = legal_numbers(config)[-1]
    memory = step_memory(config.model, config.optimizer, load(config, number, there))
    rows = config.trainer.batch_size // (number * ranks(config))
    yield "memory, weights", size(memory.weights)
    yield "memory, gradients", size(memory.gradients)
    yield "memory, optimizer", f"{size(memory.optimizer)} ({config.optimizer.kind})"
    if memory.average:
        yield "memory, moving average", size(memory.average)
    said = f"{number} (auto)" if wanted == "auto" else str(number)
    yield "memory, activations", f"{size(memory.activations)} (rows of a microbatch: {rows:,}; accumulate: {said})"
    yield "memory, at the peak", size(memory.peak) + _fit_words(config, memory, there, available)


def _fit_words(config: RunConfig, memory: Memory, kind: str, available: float | None) -> str:
    """Whether the peak fits, and what would make it."""
    if available is None:
        return ""
    of = f" of {size(available)} ({100 * memory.peak / available:.0f} %)"
    if memory.peak <= available:
        return of
    try:
        fitting = smallest_fitting(config, kind, available)
    except ConfigError:
        return f"{of}: does not fit, not even one row at a time"
    return f"{of}: does not fit; trainer.accumulate={fitting} does, or auto"


def _three_digits(number: float) -> str:
    """92234.5 → 92,200; 0.12345 → 0.123."""
    return f"{float(f'{number:.3g}'):,.0f}" if number >= 100 else f"{number:.3g}"


def size(num_bytes: float) -> str:
    """Bytes in GiB or MiB."""
    return f"{num_bytes / GIB:.2f} GiB" if num_bytes >= GIB / 10 else f"{num_bytes / 2**20:.1f} MiB"
