"""From a folder with a trained model to its loss on held-out text."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import torch

from zoo.checkpoint.model import load_model, read_config, read_imports
from zoo.config import Source, load_config, read_overrides, read_yaml, to_mapping
from zoo.errors import ConfigError, DataError
from zoo.objectives.base import ObjectiveConfig
from zoo.own_blocks import made_with
from zoo.pretrained import model_folder
from zoo.training.config import RunConfig, check_spelling
from zoo.training.evaluation import Bin, evaluate
from zoo.training.precision import FORMATS, convert
from zoo.training.run import prepare

CHANGEABLE = ("data", "objectives", "trainer.validation_batch_size", "trainer.precision", "trainer.accelerator")
"""What an evaluation can change; the rest belongs to the model or to its training."""


class Report(NamedTuple):
    """What was measured.

    Attributes:
        model: the model folder. rows: how many rows the held-out split has.
        loss: the sum of the objectives' losses times their weights.
        objectives: loss, accuracy, … of each by name, see `zoo.training.measures`.
        by_position: of each whose targets are tokens, the loss by position.
    """

    model: Path
    rows: int
    loss: float
    objectives: dict[str, dict[str, float]]
    by_position: dict[str, list[Bin]]


def evaluate_folder(folder: Path, settings: Iterable[str] = (), weights: str = "raw") -> Report:
    """Means over the whole held-out split.

    Args:
        folder: a run, a training step or a model folder.
        settings: `key=value`, of CHANGEABLE keys.
        weights: of a run or a training step: "raw" or "ema", as in `zoo.load`.

    Raises:
        CheckpointError: the folder holds no model. ConfigError: a setting does not fit. DataError: nothing is held out.
    """
    found = model_folder(folder, weights)
    config = evaluation_config(found, settings)
    prepared = prepare(config)
    if prepared.validation is None:
        raise DataError(
            f"data.validation_fraction is {config.data.validation_fraction}: nothing is held out to measure"
        )
    module = prepared.module
    device = find_device(config.trainer.accelerator)
    module.model, _ = load_model(found)
    convert(module.model, config.trainer.precision)
    module.to(device)
    batch_size = config.trainer.validation_batch_size or config.trainer.microbatch_rows
    precision = _precision(config.trainer.precision, device)
    means, by_position = evaluate(module, prepared.validation, batch_size, precision=precision)
    objectives: dict[str, dict[str, float]] = {name: {} for name in module.objectives}
    for key, value in means.items():
        name, slash, metric = key.partition("/")
        if slash:
            objectives[name][metric] = value
    num_rows = sum(group.num_rows for group in prepared.validation.groups)
    return Report(found, num_rows, means["loss"], objectives, by_position)


def evaluation_config(model: Path, settings: Iterable[str]) -> RunConfig:
    """The run that a model folder came from, with the model and its tokenizer as they are in the folder."""
    over = read_overrides(settings)
    check_spelling(over.settings)
    _check_changeable(over.settings)
    config = read_config(model)
    tokenizer = {"kind": "file", "path": str(model), "add_tokens": []}  # what the run added is in there
    ours: dict[str, Any] = {"model": to_mapping(config), "tokenizer": tokenizer}
    run = model.parents[2] / "config.yaml" if len(model.parents) > 2 else model
    if model.parent.parent.name == "checkpoints" and run.is_file():
        sources = [read_yaml(run), Source("model folder", ours), over]
    elif "objectives" in over.settings and "data" in over.settings:
        sources = [Source("model folder", {"name": "evaluation", **ours}), over]
    else:
        legal = sorted(kind for kind, choice in ObjectiveConfig.choices.items() if config.kind in choice.families)
        raise ConfigError(
            f"{model} belongs to no run that says what to measure; give objectives.<name>.kind=… (for this model: "
            f"{', '.join(legal)}) and data.source.kind=…"
        )
    try:
        return load_config(RunConfig, sources).config
    except ConfigError as error:
        raise ConfigError(f"{error.reason}{made_with(read_imports(model))}", error.key) from None


def _check_changeable(settings: dict[str, Any]) -> None:
    for key, value in settings.items():
        names = [f"{key}.{name}" for name in value] if key == "trainer" and isinstance(value, dict) else [key]
        for name in names:
            if name not in CHANGEABLE:
                raise ConfigError(f"cannot be changed in an evaluation (legal: {', '.join(CHANGEABLE)})", name)


def find_device(accelerator: str) -> torch.device:
    """The device that a trainer's `accelerator` means for one process."""
    kind = {"gpu": "cuda"}.get(accelerator, accelerator)
    if kind == "auto":
        kind = "cuda" if torch.cuda.is_available() else "cpu"
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not available[kind]:
        raise ConfigError(f"{accelerator!r} is not there on this machine; use auto or cpu", "trainer.accelerator")
    return torch.device(kind)


def _precision(precision: str, device: torch.device) -> Callable[[], contextlib.AbstractContextManager[Any]]:
    weights, products = FORMATS[precision]
    return contextlib.nullcontext if weights is products else functools.partial(torch.autocast, device.type, products)
