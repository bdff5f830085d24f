"""The trainer does the steps; all else is the conductor's."""

import signal
from pathlib import Path

import pytest
from lightning_fabric.plugins.io.torch_io import TorchCheckpointIO
from pytorch_lightning.callbacks import Callback, Checkpoint
from pytorch_lightning.strategies import DDPStrategy, SingleDeviceStrategy

from tests.training.tiny import tiny_run
from zoo.training.trainer import make_trainer


def test_nothing_but_the_conductor_logs_validates_or_saves(tmp_path: Path) -> None:
    conductor = Checkpoint()
    trainer = make_trainer(tiny_run(tmp_path, "gpt"), conductor, TorchCheckpointIO())  # type: ignore[arg-type]
    assert trainer.checkpoint_callbacks == [conductor]
    assert trainer.progress_bar_callback is None
    assert trainer.loggers == []
    assert trainer.limit_val_batches == 0
    assert trainer.max_steps == 4
    assert isinstance(trainer.strategy, SingleDeviceStrategy)
    before = signal.getsignal(signal.SIGTERM)
    trainer._signal_connector.register_signal_handlers()
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("kind, unused", [("gpt", False), ("shares", True)])
def test_ranks_wait_for_gradients_that_a_step_may_lack(kind: str, unused: bool, tmp_path: Path) -> None:
    config = tiny_run(tmp_path, kind, "trainer.devices=2")
    strategy = make_trainer(config, Callback(), TorchCheckpointIO()).strategy  # type: ignore[arg-type]
    assert isinstance(strategy, DDPStrategy)
    assert strategy._ddp_kwargs["find_unused_parameters"] is unused
