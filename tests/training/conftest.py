"""What training tests share: no run folder left where they were started, runs that break or are watched."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from zoo.training.conductor import Conductor
from zoo.training.config import RunConfig
from zoo.training.module import TrainingModule
from zoo.training.run import pretrain

Gradients = dict[str, Tensor]


class BrokenError(Exception):
    """The error that ends a run half-way in these tests."""


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever forgets to name a folder writes there."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def gradients_of(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[RunConfig], list[Gradients]]:
    """Trains a run and gives the gradient of each of its steps, as the optimizer got it."""
    seen: list[Gradients] = []
    update = TrainingModule._update

    def watch(module: TrainingModule, done: int) -> None:
        found = module.model.named_parameters()
        seen.append(
            {
                name: p.grad / module.record.loss_scale if p.grad is not None else torch.zeros_like(p)
                for name, p in found
            }
        )
        update(module, done)

    monkeypatch.setattr(TrainingModule, "_update", watch)

    def train(config: RunConfig) -> list[Gradients]:
        seen.clear()
        pretrain(config, tmp_path / "run", fresh=True)
        return list(seen)

    return train


@pytest.fixture
def break_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[RunConfig, Path, int], None]:
    """Trains a run that breaks after the log row of a step, before that step is saved."""

    def train(config: RunConfig, folder: Path, step: int) -> None:
        write = Conductor._write

        def breaking(conductor: Conductor, now: int, row: dict[str, float]) -> None:
            write(conductor, now, row)
            if now == step:
                raise BrokenError

        with monkeypatch.context() as patch:
            patch.setattr(Conductor, "_write", breaking)
            with pytest.raises(BrokenError):
                pretrain(config, folder)

    return train
