"""Lightning's trainer for a run, everything of it switched off that the conductor does. No other place makes one."""

from __future__ import annotations

import logging
import warnings

import pytorch_lightning as lightning
from pytorch_lightning.strategies import DDPStrategy, Strategy

from zoo.training.checkpoint_io import FolderCheckpointIO
from zoo.training.conductor import Conductor
from zoo.training.config import RunConfig
from zoo.training.launch import device_type
from zoo.training.loss_scaling import precision_plugin


def make_trainer(config: RunConfig, conductor: Conductor, checkpoint_io: FolderCheckpointIO) -> lightning.Trainer:
    """The trainer of a run: it calls the conductor after each step, and saves through `checkpoint_io`."""
    _quiet_lightning()
    settings = config.trainer
    trainer = lightning.Trainer(
        accelerator=settings.accelerator,
        devices=settings.devices,
        num_nodes=settings.num_nodes,
        strategy=_strategy(config),
        max_steps=-1 if settings.max_steps is None else settings.max_steps,
        max_epochs=-1,
        callbacks=[conductor],
        plugins=[checkpoint_io, precision_plugin(settings.precision, device_type(settings.accelerator))],
        logger=False,
        limit_val_batches=0,
        num_sanity_val_steps=0,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    # Lightning's handlers lose the position of the run and broadcast inside the signal, which can deadlock; its ranks
    # agree on SIGTERM by a broadcast in every step. Here the flag rides with the target counts.
    trainer._signal_connector.register_signal_handlers = lambda: None  # type: ignore[method-assign]
    trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = lambda: None  # type: ignore[method-assign]
    return trainer


def _strategy(config: RunConfig) -> Strategy | str:
    if config.trainer.devices * config.trainer.num_nodes == 1:
        return "auto"
    # With shares, a step may hold no row of some objective, and then some weights get no gradient in it.
    shares = any(objective.share is not None for objective in config.objectives.values())
    return DDPStrategy(find_unused_parameters=shares, gradient_as_bucket_view=True)


def _quiet_lightning() -> None:
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    for message in (".*does not have many workers.*", ".*LeafSpec.*", ".*dataloader is not resumable.*"):
        warnings.filterwarnings("ignore", message)
