"""Whether the disk has room for a run's next checkpoint, told before the first step and not after the training.

What a checkpoint holds is known beforehand: the weights, their moving average, the state of the optimizer. The latter
is asked of the optimizer itself, in a step on tensors that have shapes and no data, so a new one is counted from its
first day.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensorMode,
    UnsupportedFakeTensorException,
)
from torch.optim import Optimizer
from torch.utils._pytree import tree_leaves

from zoo.checkpoint.disk import ensure_space
from zoo.checkpoint.folder import remove_leftovers
from zoo.checkpoint.model import weights_of
from zoo.training.config import RunConfig
from zoo.training.ema import EMAConfig, WeightAverage
from zoo.training.precision import convert
from zoo.training.run_folder import RunFolder


def checkpoint_bytes(config: RunConfig) -> int:
    """Bytes of the tensors in a checkpoint of a run, whose vocabulary is known."""
    with FakeTensorMode(allow_non_fake_inputs=True):
        model = config.model.build_unset()
        convert(model, config.trainer.precision)
        total = sum(shared.tensor.nbytes for shared in weights_of(model))
        if config.trainer.ema is not None:
            average = WeightAverage(EMAConfig(), model)  # one that begins with step 1
            average.update(1)
            with average.applied():
                total += sum(shared.tensor.nbytes for shared in weights_of(model))
        optimizer = config.optimizer.build(model, config.model.initialization)
        for parameter in model.parameters():
            parameter.grad = torch.empty_like(parameter)
        return total + _state_bytes(optimizer)


def _state_bytes(optimizer: Optimizer) -> int:
    """Bytes of an optimizer's state behind a step; 0 where its step looks at numbers, of which there are none here."""
    try:
        optimizer.step()
    except (DataDependentOutputException, DynamicOutputShapeException, UnsupportedFakeTensorException):
        return 0
    state = tree_leaves(optimizer.state_dict()["state"])
    return sum(leaf.nbytes for leaf in state if isinstance(leaf, Tensor))


def check_room(config: RunConfig, run: RunFolder) -> None:
    """Raises CheckpointError where the disk of a run folder cannot take the next checkpoint."""
    remove_leftovers(run.checkpoints)  # of a save that was killed; the next one would remove them as well
    ensure_space(run.path, checkpoint_bytes(config), "the run's next checkpoint")
