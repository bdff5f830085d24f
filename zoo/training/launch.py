"""What must be right about the processes of a run before it touches anything.

Ranks are started by Lightning itself, on one machine, from the command that the user typed; by torchrun; or by srun.
"""

from __future__ import annotations

import os
import sys

import torch

from zoo.errors import ConfigError
from zoo.training.config import TrainerConfig
from zoo.training.kernels import DEVICES

LAUNCHED = ("RANK", "LOCAL_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK")
"""Variables by which Lightning numbers the processes of a run. Without any, and without Lightning, there is one."""


def check_launch(config: TrainerConfig, fresh: bool) -> None:
    """Raises ConfigError where the ranks would not be one run.

    Args:
        config: says how many ranks there should be.
        fresh: whether an older run is to be moved aside.
    """
    _check_devices(config)
    ranks = config.devices * config.num_nodes
    started = _started_ranks()
    if started is not None and started != ranks:
        raise ConfigError(
            f"{config.devices} devices × {config.num_nodes} nodes are {ranks} ranks, but {started} were started; "
            "without as many, each process would train by itself and write over the others",
            "trainer.devices",
        )
    if config.num_nodes > 1 and started is None and "MASTER_ADDR" not in os.environ:
        raise ConfigError(
            f"{config.num_nodes} machines are to take part, but nothing says where the others are; start the "
            f"command on each of them under torchrun (--nnodes {config.num_nodes}) or with srun",
            "trainer.num_nodes",
        )
    if fresh and ranks > 1 and (started is not None or config.num_nodes > 1):
        raise ConfigError(
            "--fresh does not go with ranks that torchrun, srun or several machines start: one may look for a "
            "checkpoint before another has moved the old run aside; move it away first, or give the run another name"
        )


def refuse_started_ranks(verb: str) -> None:
    """Raises ConfigError where torchrun or srun started several processes for a verb that one must do alone."""
    started = _started_ranks()
    if started is not None and started > 1:
        raise ConfigError(
            f"zoo {verb} makes a run folder ready, which is the work of one process, and {started} were started; do it "
            "first with --wait, then start zoo pretrain <run folder>/config.yaml in as many"
        )


def device_type(accelerator: str) -> str:
    """The type of device, as torch names it, that an accelerator is on this machine."""
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    return next((device for device in DEVICES[accelerator] if present[device]), DEVICES[accelerator][0])


def _check_devices(config: TrainerConfig) -> None:
    """Raises ConfigError where the machine lacks what the run wants to compute on."""
    present = {"cpu": None, "gpu": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    if config.accelerator != "auto" and present[config.accelerator] == 0:
        legal = ", ".join(["auto", *(name for name, count in present.items() if count != 0)])
        raise ConfigError(
            f"{config.accelerator!r} is not there on this machine (what is there: {legal})", "trainer.accelerator"
        )
    count = present["gpu"] if config.accelerator == "auto" and present["gpu"] else present.get(config.accelerator)
    if count is not None and config.devices > count:
        raise ConfigError(f"{config.devices} are more than the {count} of this machine", "trainer.devices")


def rank() -> int:
    """The number of this process among those of the run, as Lightning counts them."""
    if "lightning_fabric" not in sys.modules and not os.environ.keys() & set(LAUNCHED):
        return 0  # Lightning, which takes seconds to import, would say the same
    from lightning_fabric.utilities.rank_zero import rank_zero_only

    return getattr(rank_zero_only, "rank", 0)


def _started_ranks() -> int | None:
    """How many ranks torchrun or srun started; None: neither did."""
    if not os.environ.keys() & {"TORCHELASTIC_RUN_ID", "SLURM_NTASKS"}:
        return None  # what both are told by; to ask Lightning takes seconds
    from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
    from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment

    if TorchElasticEnvironment.detect():
        return int(os.environ["WORLD_SIZE"])
    if SLURMEnvironment.detect():
        return int(os.environ["SLURM_NTASKS"])
    return None
