"""Whether the disk has room for a run's next checkpoint, told before the first step and not after the training.

What a checkpoint holds is known beforehand: the weights, their moving average, the state of the optimizer. The latter
is asked of the optimizer itself, in a step on tensors that have shapes and no data, so a new one is counted from its
first day.
"""

from __future__ import annotations

import contextlib

from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._pytree import tree_leaves

from zoo.checkpoint.disk import ensure_space
from zoo.checkpoint.folder import remove_leftovers
from zoo.checkpoint.model import weights_of
from zoo.models.base import Model
from zoo.training.config import RunConfig
from zoo.training.ema import EMAConfig, WeightAverage
from zoo.training.memory import after_a_step
from zoo.training.precision import convert
from zoo.training.run_folder import RunFolder


def checkpoint_bytes(config: RunConfig, model: Model) -> int:
    """Bytes of the tensors in a checkpoint of a run.

    Args:
        config: of the run; its vocabulary is known.
        model: the run's, in the precision that it is kept in.
    """
    weights = sum(shared.tensor.nbytes for shared in weights_of(model))
    # Somebody's own block or optimizer may look at numbers, of which there are none here; a run never fails for that.
    with contextlib.suppress(Exception), FakeTensorMode(allow_non_fake_inputs=True):
        return weights + _bytes_beside(config)
    return weights


def _bytes_beside(config: RunConfig) -> int:
    """Bytes of the averaged weights and of the optimizer's state; within a mode whose tensors have no data."""
    total = 0
    model = config.model.build_unset()
    convert(model, config.trainer.precision)
    if config.trainer.ema is not None:
        average = WeightAverage(EMAConfig(), model)  # one that begins with step 1
        average.update(1)
        with average.applied():
            total += sum(shared.tensor.nbytes for shared in weights_of(model))
    state = tree_leaves(after_a_step(config.optimizer, model).state_dict()["state"])
    return total + sum(leaf.nbytes for leaf in state if isinstance(leaf, Tensor))


def check_room(config: RunConfig, model: Model, run: RunFolder) -> None:
    """Raises CheckpointError where the disk of a run folder cannot take the next checkpoint of the model."""
    remove_leftovers(run.checkpoints)  # of a save that was killed; the next one would remove them as well
    ensure_space(run.path, checkpoint_bytes(config, model), "the run's next checkpoint")
