"""`zoo describe`: a model's parts, their parameters, what is live in which layer, and what a token costs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from zoo.cli.arguments import examples
from zoo.cli.screen import note, table
from zoo.errors import ConfigError

if TYPE_CHECKING:
    from zoo.models import ModelConfig

EXAMPLES = examples(
    "zoo describe bert-base",
    "zoo describe gpt2 positions=rotary attention.query_bias=false",
    "zoo describe configs/pretrain/t5-nano.yaml model.positions=alibi",
    "zoo describe runs/gpt-nano",
)


class Subject(NamedTuple):
    """What is described: `title` says what it is and where it came from."""

    title: str
    config: ModelConfig


def run(
    name: Annotated[
        str, typer.Argument(metavar="model", help="a model's name (see `zoo list`), a config, a run or model folder")
    ],
    settings: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="key=value",
            help="the model's settings, for example positions=rotary; those of a config: model.positions=rotary",
        ),
    ] = None,
) -> None:
    """Show what a model is made of.

    Parameters by part, what is in each layer and every setting of it that differs from its default, which attention
    kernel serves it and why, and floating-point operations of training on a token.
    """
    from zoo.models.anatomy import cost_rows, empty_model, layer_rows, part_rows

    subject = find_subject(name, settings or [])
    model = empty_model(subject.config)
    table(f"{subject.title}: {subject.config.kind}\n", ("part", "parameters", "share"), part_rows(model))
    print()
    table("", ("layers (from 0)", "part", "what is in it"), layer_rows(model))
    print()
    table("", ("cost", ""), cost_rows(model))


def find_subject(name: str, settings: list[str]) -> Subject:
    """The model that a name stands for: a folder, a config file, a preset, a shipped config, in this order.

    Raises:
        ConfigError: none of these, or a setting that does not fit. CheckpointError: a folder without a model.
    """
    from zoo.models.presets import PRESETS
    from zoo.registry import unknown_name
    from zoo.training.shipped import is_path, shipped_configs

    shipped = shipped_configs()
    if Path(name).expanduser().is_dir() and name not in PRESETS:
        return _from_folder(Path(name).expanduser(), settings)
    if name in PRESETS:
        subject = Subject(f"preset {name}", _changed(name, settings))
        if name in shipped:
            note(f"note: this is the preset; the config of the same name: zoo config {name}")
        return subject
    if is_path(name) or name in shipped:
        return _from_config(name, settings)
    raise ConfigError(unknown_name("model or config", name, {*PRESETS, *shipped}))


def _from_folder(folder: Path, settings: list[str]) -> Subject:
    from zoo.checkpoint.model import read_config
    from zoo.pretrained import model_folder

    found = model_folder(folder)
    return Subject(str(found), _changed(read_config(found), settings))


def _changed(model: str | ModelConfig, settings: list[str]) -> ModelConfig:
    """A preset or a model's config with settings over it, written as in Python or, as for a run, behind `model.`."""
    from zoo.config import read_overrides
    from zoo.models.create import model_config

    try:
        changes = read_overrides(setting.removeprefix("model.") for setting in settings).settings
        return model_config(model, **changes)
    except ConfigError as error:
        said = [setting.partition("=")[0] for setting in settings if setting.startswith("model.")]
        key = f"model.{error.key}."
        behind_model = any(key.startswith(f"{one}.") or f"{one}.".startswith(key) for one in said)
        raise error.under("model" if behind_model else "") from None


def _from_config(name: str, settings: list[str]) -> Subject:
    import dataclasses

    from zoo.training.shipped import load_run

    config = load_run(name, settings).config
    model: ModelConfig = config.model
    if model.vocab_size is None:
        size = getattr(config.tokenizer, "vocab_size", None)
        if size is None:
            raise ConfigError(
                f"is only known once there is a tokenizer of kind {config.tokenizer.kind!r}; say one, for example "
                "model.vocab_size=256",
                "model.vocab_size",
            )
        model = dataclasses.replace(model, vocab_size=size)
    return Subject(f"config {name}", model)
