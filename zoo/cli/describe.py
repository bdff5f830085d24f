"""`zoo describe`: what a model is made of, what a run of it takes, and how two of them differ."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from zoo.cli.arguments import examples, number
from zoo.cli.screen import note, table
from zoo.errors import ConfigError
from zoo.spelling import spelled

if TYPE_CHECKING:
    from zoo.models import Model, ModelConfig
    from zoo.training.config import RunConfig

EXAMPLES = examples(
    "zoo describe bert-base",
    "zoo describe gpt2 positions=rotary attention.query_bias=false",
    "zoo describe gpt2 --device h100 --mfu 0.4  # what a run of that config takes",
    "zoo describe t5-nano model.positions=alibi",
    "zoo describe runs/gpt-nano",
    "zoo describe bert-base roberta-base  # what differs between the two",
    "zoo describe runs/gpt-nano runs/gpt-nano-rotary",
)


class Subject(NamedTuple):
    """What is described.

    Attributes:
        title: what it is and where it came from.
        config: the model.
        run: the run that trains it, its vocabulary known; None: a model by itself.
        suggestions: what its maker suggests for generation, by transformers' names; None: nothing.
        architecture: what it is in transformers, where it came from there; "": it did not.
        stored: how its weights are stored; "": it has none.
        is_made: whether it is a model as it lies in a folder, whose shapes nobody chooses any more.
    """

    title: str
    config: ModelConfig
    run: RunConfig | None = None
    suggestions: Mapping[str, Any] | None = None
    architecture: str = ""
    stored: str = ""
    is_made: bool = False


def run(
    name: Annotated[
        str,
        typer.Argument(
            metavar="model",
            help="a model's name (see `zoo list`), a config, a run, a model folder of ours or of Hugging Face",
        ),
    ],
    rest: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[other] key=value",
            help="another one, to see what differs; the model's settings, for example positions=rotary, or those of a "
            "config: model.positions=rotary",
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option("--device", help="tell hours and memory for this one, for example h100; else: what is here"),
    ] = None,
    mfu: Annotated[
        float, typer.Option("--mfu", parser=number, help="share of the device's peak that a run reaches")
    ] = 0.4,
) -> None:
    """Show what a model is made of, and what a run would take.

    Parameters by part, what is in each layer and every setting of it that differs from its default, which attention
    kernel serves it and why, and floating-point operations of training on a token. Of a config or a run also: tokens,
    operations, hours and memory, on the device that is here or on a named one. Of two: what differs.
    """
    _check_options(device, mfu)
    other, settings = _told_apart(rest or [])
    if other is None:
        _describe(find_subject(name, settings, wants_run=device is not None), device, mfu)
        return
    if device is not None:
        raise ConfigError(f"{device!r} does not go with two to compare; ask for one of them", "device")
    _compare(find_subject(name, settings), find_subject(other, settings))


def _check_options(device: str | None, mfu: float) -> None:
    from zoo.registry import unknown_name
    from zoo.training.devices import DEVICES

    if device is not None and device not in DEVICES:
        raise ConfigError(unknown_name("device", device, DEVICES), "device")
    if not 0 < mfu <= 1:
        raise ConfigError(
            f"{mfu:g} is no share of the peak; give a number above 0 and at most 1, for example 0.4", "mfu"
        )


def _told_apart(rest: list[str]) -> tuple[str | None, list[str]]:
    """The second thing to describe, if the first word is one, and the settings."""
    if rest and ("=" not in rest[0] or Path(rest[0]).expanduser().is_dir()):
        return rest[0], rest[1:]
    return None, rest


def _describe(subject: Subject, device: str | None, mfu: float) -> None:
    from zoo.cli.preflight import run_rows, shape_rows
    from zoo.interop.suggestions import told
    from zoo.models.anatomy import cost_rows, empty_model, layer_rows, part_rows

    if device is not None and subject.run is None:
        raise ConfigError(f"hours and memory are told of a run, and {subject.title} is none; give a config", "device")
    model = empty_model(subject.config)
    updates = [] if subject.run is None else _update_rows(subject.run, model)
    kind = f"{subject.config.kind}, {subject.architecture}" if subject.architecture else subject.config.kind
    table(f"{subject.title}: {kind}\n", ("part", "parameters", "share"), part_rows(model))
    print()
    table("", ("layers (from 0)", "part", "what is in it"), layer_rows(model))
    print()
    stored = [("weights as they are stored", subject.stored)] if subject.stored else []
    table("", ("cost", ""), [*cost_rows(model), *stored])
    if (awkward := shape_rows(model)) and not subject.is_made:
        print()
        table("", ("slow on GPUs", "why (arXiv:2401.14489)"), awkward)
    if suggested := told(subject.suggestions):
        print()
        rows = [(one.written, one.ours or "nothing here does it") for one in suggested]
        table("", ("suggested for generation, not applied", "option of generate"), rows)
    if subject.run is not None:
        print()
        table("", ("run", ""), run_rows(subject.run, model, device, mfu))
        print()
        table("", ("peak rate", "decay", "parameters", "updated alike"), updates)


def _update_rows(config: RunConfig, model: Model) -> list[tuple[str, str, int, str]]:
    """Which parameters have which learning rate and decay; raises ConfigError where a pattern of a part is wrong."""
    from zoo.training.optimizers.groups import update_rows

    try:
        return update_rows(config.optimizer.groups(model, config.model.initialization), model)
    except ConfigError as error:
        raise error.under("optimizer") from None


def _compare(one: Subject, other: Subject) -> None:
    from zoo.cli.comparison import cost_difference, count_rows, setting_rows
    from zoo.models.anatomy import empty_model

    names = (one.title, other.title)
    if one.run is not None and other.run is not None:
        settings = list(setting_rows(one.run, other.run))
    else:
        settings = list(setting_rows(one.config, other.config))
    if settings:
        table("", ("setting", *names), settings)
    else:
        print(f"{one.title} and {other.title} have the same settings")
    print()
    models = empty_model(one.config), empty_model(other.config)
    table("", ("parameters", *names, "change"), count_rows(*models))
    print()
    table("", ("cost", *names), cost_difference(*models))


def find_subject(name: str, settings: list[str], wants_run: bool = False) -> Subject:
    """The model that a name stands for: a folder, a config file, a preset, a shipped config, in this order.

    Args:
        name: of it, or its path.
        settings: laid over it.
        wants_run: whether a shipped config comes before a preset of its name; it does where settings are a run's.

    Raises:
        ConfigError: none of these, or a setting that does not fit. CheckpointError: a folder without a model.
    """
    from zoo.checkpoint.disk import nearest_folder
    from zoo.models.presets import PRESETS
    from zoo.registry import unknown_name
    from zoo.training.shipped import is_path, shipped_configs

    shipped = shipped_configs()
    if Path(name).expanduser().is_dir() and name not in PRESETS:
        return _from_folder(Path(name).expanduser(), settings)
    if name in PRESETS and not (name in shipped and (wants_run or _of_a_run(settings))):
        subject = Subject(f"preset {name}", _changed(name, settings))
        if name in shipped:
            note(f"note: this is the preset; the config of the same name: zoo config {name}")
        return subject
    path = Path(name).expanduser()
    if is_path(name) and not path.exists() and (nearest := nearest_folder(path)):
        raise ConfigError(f"no folder or config file at {name}{nearest}")
    if is_path(name) or name in shipped:
        return _from_config(name, settings)
    raise ConfigError(unknown_name("model or config", name, {*PRESETS, *shipped}))


def _of_a_run(settings: list[str]) -> bool:
    """Whether any of the settings belongs to a run beside its model (`data.…`, `trainer.…`)."""
    from zoo.training.config import RunConfig

    of_a_run = {field.name for field in dataclasses.fields(RunConfig)} - {"model"}
    return any(setting.partition("=")[0].partition(".")[0] in of_a_run for setting in settings)


def _from_folder(folder: Path, settings: list[str]) -> Subject:
    from zoo.cli.folder_facts import facts_of_folder
    from zoo.loading import conventions_in, model_folder
    from zoo.training.shipped import load_run

    found, path = model_folder(folder), folder / "config.yaml"
    facts = facts_of_folder(found)
    model = _changed(facts.config, settings)
    is_run = (folder / "checkpoints").is_dir() and path.is_file()
    run = dataclasses.replace(load_run(path).config, model=model) if is_run else None
    suggestions = conventions_in(found).suggestions
    if model != facts.config:
        return Subject(f"{found} with {' '.join(settings)}, no longer the model in it", model, run, suggestions)
    return Subject(str(found), model, run, suggestions, facts.architecture, facts.stored, is_made=True)


@spelled({})  # settings, some of which are called like options
def _changed(model: str | ModelConfig, settings: list[str]) -> ModelConfig:
    """A preset or a model's config with settings over it, written as in Python or, as for a run, behind `model.`."""
    from zoo.config_text import read_overrides
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
    from zoo.training.shipped import load_run

    config = load_run(name, settings).config
    model: ModelConfig = config.model
    if model.vocab_size is None:
        learns = config.tokenizer.learns
        size = getattr(config.tokenizer, "vocab_size", None) if learns else config.tokenizer.train(()).vocab_size
        if size is None:
            raise ConfigError(
                f"is only known once there is a tokenizer of kind {config.tokenizer.kind!r}; say one, for example "
                "model.vocab_size=256",
                "model.vocab_size",
            )
        model = dataclasses.replace(model, vocab_size=size)
    return Subject(f"config {name}", model, dataclasses.replace(config, model=model))
