"""`trainer.accumulate: auto`: as few microbatches as the memory of a device allows.

Fewer and larger microbatches are faster and change nothing else: a step's mean is exact however it is split (the
gradient up to rounding; dropout draws for each microbatch). The number is chosen once, from the estimate of
`memory.py`, before anything is trained; it is written into the run's config, and a continued run keeps it, on
whatever it continues.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from zoo.config_text import read_yaml
from zoo.errors import ConfigError
from zoo.memory import memory_of
from zoo.training.config import RunConfig
from zoo.training.cost import load, ranks
from zoo.training.memory import step_memory

GIB = 2**30
USABLE = 0.9
"""Share of a device's memory that a run plans with where no limit is said: the rest is the device's own and goes to the
gaps between tensors."""


def resolve(config: RunConfig, device: str) -> RunConfig:
    """The config with a number of microbatches where it says `auto`.

    Args:
        config: of the run; the vocabulary of its model is known.
        device: type of the device that it trains on, as torch names it.

    Raises:
        ConfigError: not even single rows fit.
    """
    if config.trainer.accumulate != "auto":
        return config
    limit = config.trainer.memory_limit
    limit_bytes = USABLE * memory_of(device) if limit is None else limit * GIB
    return with_number(config, smallest_fitting(config, device, limit_bytes))


def smallest_fitting(config: RunConfig, device: str, limit: float) -> int:
    """The smallest legal number of microbatches whose step takes no more than `limit` bytes; raises ConfigError."""
    legal = legal_numbers(config)
    low, high = 0, len(legal)
    while low < high:  # memory falls as the number grows
        middle = (low + high) // 2
        if _peak(config, legal[middle], device) <= limit:
            high = middle
        else:
            low = middle + 1
    if low == len(legal):
        least = _peak(config, legal[-1], device) / GIB
        raise ConfigError(
            f"a step takes {least:.3g} GiB even with one row at a time, over the limit of {limit / GIB:.3g} GiB; raise "
            "it, or take trainer.recompute=blocks, trainer.precision=bf16-mixed, a lower model.max_length or a "
            "smaller model",
            "trainer.memory_limit",
        )
    return legal[low]


def legal_numbers(config: RunConfig) -> list[int]:
    """Numbers of microbatches that a rank can split its share of a step into, the smallest first."""
    rows = config.trainer.batch_size // ranks(config)
    return [number for number in range(1, rows + 1) if rows % number == 0]


def _peak(config: RunConfig, microbatches: int, device: str) -> int:
    return step_memory(config.model, config.optimizer, load(config, microbatches, device)).peak


def with_number(config: RunConfig, microbatches: int) -> RunConfig:
    """The config of a run that splits its steps so."""
    trainer = dataclasses.replace(config.trainer, accumulate=microbatches, memory_limit=None)
    return dataclasses.replace(config, trainer=trainer)


def num_microbatches(config: RunConfig) -> int:
    """Microbatches of each rank in a step, of a config that says a number."""
    number = config.trainer.accumulate
    assert number != "auto", "resolve comes before anything that trains"
    return number


def as_begun(config: RunConfig, folder: Path) -> RunConfig:
    """The config with the number that this folder's run was begun with, where it says `auto` and the folder has one."""
    path = folder / "config.yaml"
    if config.trainer.accumulate != "auto" or not path.is_file():
        return config
    number = read_yaml(path).settings.get("trainer", {}).get("accumulate")
    return with_number(config, number) if isinstance(number, int) else config
