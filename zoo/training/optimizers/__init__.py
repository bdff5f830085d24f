"""Optimizers, one file each; this list is what registers them."""

from zoo.training.optimizers import adafactor, adamw, adamw_rms, lion, muon, schedule_free
from zoo.training.optimizers.adamw import AdamWConfig
from zoo.training.optimizers.base import OptimizerConfig
from zoo.training.optimizers.groups import PartConfig
from zoo.training.optimizers.rule import shown_weights

__all__ = [
    "AdamWConfig",
    "OptimizerConfig",
    "PartConfig",
    "adafactor",
    "adamw",
    "adamw_rms",
    "lion",
    "muon",
    "schedule_free",
    "shown_weights",
]
