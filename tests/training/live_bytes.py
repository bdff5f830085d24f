"""What a real step takes, measured from outside: every allocation and release of torch's own allocator is added up."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from tests.training.tiny import tiny_run
from zoo.training import module as training_module
from zoo.training.config import RunConfig
from zoo.training.run import pretrain


def measured_run(folder: Path, monkeypatch: Any, kind: str, *settings: str) -> tuple[RunConfig, int]:
    """(config with its vocabulary, most bytes alive in the second step) of a run of two steps, on a CPU or a GPU."""
    peaks: list[int] = []
    configs: list[RunConfig] = []
    inside = training_module.TrainingModule.training_step

    def watched(self: Any, step: Any, index: int) -> None:
        if self.trainer.global_step == 0:
            inside(self, step, index)
            return
        model, state = self.model, self.optimizers().state
        moments = [value for group in state.values() for value in group.values() if isinstance(value, Tensor)]
        inputs = [
            tensor
            for parts in step.microbatches
            for part in parts
            for tensor in (*part.batch.inputs.values(), *part.batch.labels.values())
        ]
        averages = [callback.average for callback in self.trainer.callbacks if getattr(callback, "average", None)]
        moments += [tensor for average in averages for tensor in average._averages]
        standing = sum(tensor.nbytes for tensor in (*model.parameters(), *model.buffers(), *moments, *inputs))
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
            inside(self, step, index)
            peaks.append(torch.cuda.max_memory_allocated())
        else:
            with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as watch:
                inside(self, step, index)
            peaks.append(standing + highest(watch))
        configs.append(model.config)

    monkeypatch.setattr(training_module.TrainingModule, "training_step", watched)
    config = tiny_run(folder, kind, "trainer.max_steps=2", "data.validation_fraction=0", *settings)
    pretrain(config, folder / "run")
    return dataclasses.replace(config, model=configs[0]), peaks[0]


def highest(watch: Any) -> int:
    """The most bytes above those at the beginning, from the allocator's own records."""
    now = most = 0
    events = [event for event in watch.profiler.kineto_results.events() if event.name() == "[memory]"]
    assert events, "the profiler saw no allocation"
    for event in sorted(events, key=lambda event: event.start_ns()):
        now += event.nbytes()
        most = max(most, now)
    return most
