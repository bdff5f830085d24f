"""What must be right about the processes of a run before it touches anything.

Ranks are started by Lightning itself, on one machine, from the command that the user typed; by torchrun; or by srun.
"""

from __future__ import annotations

import os

from pytorch_lightning.plugins.environments import SLURMEnvironment, TorchElasticEnvironment

from zoo.errors import ConfigError
from zoo.training.config import TrainerConfig


def check_launch(config: TrainerConfig, fresh: bool) -> None:
    """Raises ConfigError where the ranks would not be one run.

    Args:
        config: says how many ranks there should be.
        fresh: whether an older run is to be moved aside.
    """
    ranks = config.devices * config.num_nodes
    started = _started_ranks()
    if started is not None and started != ranks:
        raise ConfigError(
            f"{config.devices} devices × {config.num_nodes} nodes are {ranks} ranks, but {started} were started; "
            "without as many, each process would train by itself and write over the others",
            "trainer.devices",
        )
    if fresh and ranks > 1 and (started is not None or config.num_nodes > 1):
        raise ConfigError(
            "--fresh does not go with ranks that torchrun, srun or several machines start: one may look for a "
            "checkpoint before another has moved the old run aside; move it away first, or give the run another name"
        )


def _started_ranks() -> int | None:
    """How many ranks torchrun or srun started; None: neither did."""
    if TorchElasticEnvironment.detect():
        return int(os.environ["WORLD_SIZE"])
    if SLURMEnvironment.detect():
        return int(os.environ["SLURM_NTASKS"])
    return None
