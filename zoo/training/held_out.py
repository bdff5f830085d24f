"""From a folder with a trained model to its loss on held-out text."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import torch

from zoo.checkpoint.model import load_model, read_config, read_imports
from zoo.config import Source, load_config, to_mapping
from zoo.config_text import read_overrides, read_yaml
from zoo.data.blend import portions_of
from zoo.data.corpus import Corpus, load_corpus
from zoo.errors import ConfigError, DataError
from zoo.interop.folder import is_foreign, load_foreign, read_foreign_config
from zoo.loading import model_folder
from zoo.objectives.base import ObjectiveConfig
from zoo.own_blocks import made_with
from zoo.spelling import spelled
from zoo.training import evaluation
from zoo.training.config import RunConfig, check_spelling
from zoo.training.evaluation import Bin
from zoo.training.precision import FORMATS, convert
from zoo.training.run import prepare

CHANGEABLE = ("data", "objectives", "trainer.validation_batch_size", "trainer.precision", "trainer.accelerator")
"""What an evaluation can change; the rest belongs to the model or to its training."""


class Report(NamedTuple):
    """What was measured.

    Attributes:
        model: the model folder. rows: how many rows were measured.
        text: whose held-out part they are, or all of which. is_whole: which of the two. documents: how many these are.
        loss: the sum of the objectives' losses times their weights.
        objectives: loss, accuracy, … of each by name, see `zoo.training.measures`.
        by_position: of each whose targets are tokens, the loss by position.
    """

    model: Path
    rows: int
    text: str
    is_whole: bool
    documents: int
    loss: float
    objectives: dict[str, dict[str, float]]
    by_position: dict[str, list[Bin]]


def evaluate(
    folder: str | os.PathLike[str],
    *settings: str,
    weights: str = "raw",
    which: str = "newest",
    told: Callable[[int, int], None] | None = None,
) -> Report:
    """The loss on held-out text, or on the whole of a text that the model was not trained on: `zoo evaluate`.

        zoo.evaluate("runs/gpt-nano", "data.source.kind=text", "data.source.path=other.txt").loss

    Args:
        folder: a run, a training step, a model folder or a Hugging Face folder.
        settings: `key=value`, of CHANGEABLE keys. Another source than the run's is measured whole unless a
            data.validation_fraction is among them; so is what has data.validation_fraction=1.
        weights: of a run or a training step: "raw" or "ema", as in `zoo.load`.
        which: of a run: the "newest" checkpoint or the "best", as in `zoo.load`.
        told: hears how many rows of how many are measured.

    Raises:
        CheckpointError: the folder holds no model. ConfigError: a setting does not fit. DataError: nothing is held out.
    """
    if not isinstance(folder, str | os.PathLike):
        raise ConfigError(
            f"evaluate takes the folder of a model, not a {type(folder).__name__}; "
            "zoo.save(model, folder) writes one, then zoo.evaluate(folder, …)",
            "folder",
        )
    found = model_folder(Path(folder).expanduser(), weights, which)
    config, is_whole = evaluation_config(found, settings)
    prepared = prepare(config, corpus=_whole(config) if is_whole else None)
    if prepared.validation is None:
        raise DataError(
            f"data.validation_fraction is {config.data.validation_fraction}: nothing is held out to measure"
        )
    module = prepared.module
    device = find_device(config.trainer.accelerator)
    module.model = load_foreign(found) if is_foreign(found) else load_model(found)[0]
    convert(module.model, config.trainer.precision)
    module.to(device)
    batch_size = config.trainer.validation_batch_size or config.trainer.microbatch_rows
    precision = _precision(config.trainer.precision, device)
    means, by_position = evaluation.evaluate(module, prepared.validation, batch_size, precision=precision, told=told)
    objectives: dict[str, dict[str, float]] = {name: {} for name in module.objectives}
    for key, value in means.items():
        name, slash, metric = key.partition("/")
        if slash:
            objectives[name][metric] = value
    num_rows = sum(group.num_rows for group in prepared.validation.groups)
    text = str(getattr(config.data.source, "path", config.data.source.kind))
    documents = sum(portion.documents.num_documents for portion in portions_of(prepared.corpus.validation))
    return Report(found, num_rows, text, is_whole, documents, means["loss"], objectives, by_position)


def _whole(config: RunConfig) -> Corpus:
    """The text of a config with nothing left out of what is measured."""
    data = dataclasses.replace(config.data, validation_fraction=0.0)
    corpus = load_corpus(data, config.tokenizer, any(each.needs_sentences for each in config.objectives.values()))
    return corpus._replace(validation=corpus.training)


@spelled({})  # settings, some of which are called like options
def evaluation_config(model: Path, settings: Iterable[str]) -> tuple[RunConfig, bool]:
    """What to measure with a model folder.

    Returns:
        (the run that it came from, with the model and its tokenizer as they are in the folder; whether all of its text
        is measured, and not the held-out part)
    """
    over = read_overrides(settings)
    check_spelling(over.settings)
    data = over.settings.get("data")
    data = data if isinstance(data, dict) else {}
    fraction = data.get("validation_fraction")
    is_all = isinstance(fraction, int | float) and not isinstance(fraction, bool) and fraction == 1
    if is_all:  # no run could be trained on what that leaves, so that loading would refuse it
        del data["validation_fraction"]
    _check_changeable(over.settings)
    of_model = read_foreign_config(model) if is_foreign(model) else read_config(model)
    tokenizer = {"kind": "file", "path": str(model), "add_tokens": []}  # what the run added is in there
    ours: dict[str, Any] = {"model": to_mapping(of_model), "tokenizer": tokenizer}
    run = model.parents[2] / "config.yaml" if len(model.parents) > 2 else model
    if model.parent.parent.name == "checkpoints" and run.is_file():
        sources = [read_yaml(run), Source("model folder", ours), over]
    elif "objectives" in over.settings and "data" in over.settings:
        sources = [Source("model folder", {"name": "evaluation", **ours}), over]
    else:
        legal = sorted(kind for kind, choice in ObjectiveConfig.choices.items() if of_model.kind in choice.families)
        raise ConfigError(
            f"{model} belongs to no run that says what to measure; give objectives.<name>.kind=… (for this model: "
            f"{', '.join(legal)}) and data.source.kind=…"
        )
    try:
        config: RunConfig = load_config(RunConfig, sources).config
        is_other = fraction is None and "source" in data
        if is_other and len(sources) == 3:
            is_other = config.data.source != load_config(RunConfig, sources[:2]).config.data.source
        return config, is_all or is_other
    except ConfigError as error:
        raise error.followed_by(made_with(read_imports(model))) from None


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
