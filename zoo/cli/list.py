"""`zoo list`: what there is by name: models, shipped configs, and every choice that a config can make."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any

import typer

from zoo.cli.arguments import examples
from zoo.cli.screen import table
from zoo.errors import ConfigError

EXAMPLES = examples(
    "zoo list",
    'zoo list "bert*"',
    "zoo list --choices",
    "zoo list --choices positions",
    "zoo list --architectures",
)


WIDE = 130
"""Columns of the table of architectures, whose lists of classes would not end."""


def run(
    pattern: Annotated[str, typer.Argument(metavar="pattern", help='names to show, for example "bert*"')] = "*",
    choices: Annotated[
        bool, typer.Option("--choices", help="what a config can choose from: positions, norms, objectives, …")
    ] = False,
    architectures: Annotated[
        bool, typer.Option("--architectures", help="what opens of Hugging Face folders, and is written as them")
    ] = False,
) -> None:
    """List models, configs, choices and architectures by name."""
    if choices and architectures:
        raise ConfigError("say --choices or --architectures, not both")
    if architectures:
        _list_architectures(pattern)
    elif choices:
        _list_choices(pattern)
    else:
        _list_names(pattern)


def _list_names(pattern: str) -> None:
    from zoo.models.presets import PRESETS
    from zoo.registry import unknown_name
    from zoo.training.shipped import shipped_configs

    presets = [
        (name, row.settings["kind"], row.parameters, row.published or None, row.source)
        for name, row in PRESETS.items()
        if fnmatchcase(name, pattern)
    ]
    shipped = shipped_configs()
    configs = [(name, about(path)) for name, path in shipped.items() if fnmatchcase(name, pattern)]
    if not presets and not configs:
        begun = any(name.startswith(pattern) for name in (*PRESETS, *shipped))
        raise ConfigError(
            f'{pattern!r} is the beginning of names; write zoo list "{pattern}*"'
            if begun
            else unknown_name("name", pattern, {*PRESETS, *shipped})
        )
    if presets:
        columns = ("name", "family", "parameters", "published", "source")
        table("models (model.preset=…)\n", columns, presets, dispensable=("source", "published"))
    if presets and configs:
        print()
    if configs:
        table("configs (zoo pretrain …)\n", ("name", "what it is"), configs)


def about(path: Path) -> str:
    """The first sentence of the comment that a config opens with, the command line before it left out."""
    comment = itertools.takewhile(lambda line: line.startswith("#"), path.read_text(encoding="utf-8").splitlines())
    lines = [line.removeprefix("#").strip() for line in comment]
    text = " ".join(line for line in lines if not line.startswith("zoo "))
    return re.split(r"(?<=[.:]) ", text.strip(), maxsplit=1)[0].rstrip(".:")


def _list_architectures(pattern: str) -> None:
    from zoo.interop.listing import architectures
    from zoo.registry import unknown_name

    found = architectures()
    shown = [
        (one.name, one.opens, ", ".join(one.classes), ", ".join(one.heads) or "none")
        for one in found
        if fnmatchcase(one.name, pattern)
    ]
    if not shown:
        raise ConfigError(unknown_name("architecture", pattern, {one.name for one in found}))
    table("", ("architecture", "opens", "classes", "heads"), shown, WIDE, dispensable=("classes", "heads"))


def _list_choices(pattern: str) -> None:
    rows = list(choice_rows())
    shown = [row for row in rows if fnmatchcase(row[0], pattern) or fnmatchcase(row[1], pattern)]
    if not shown:
        from zoo.registry import unknown_name

        raise ConfigError(unknown_name("choice", pattern, {noun for noun, _, _ in rows}))
    table("", ("choice", "name", "what it is"), shown)


def choice_rows() -> Iterator[tuple[str, str, str]]:
    """(noun, name, one line about it) of everything that is registered."""
    from zoo.cli.documentation import first_line
    from zoo.models.presets import PRESETS  # noqa: F401  (registers the families)
    from zoo.nn.attend import KERNELS
    from zoo.nn.feed_forward import ACTIVATIONS
    from zoo.nn.residual import PLACEMENTS
    from zoo.registry import Choice
    from zoo.training.config import RunConfig  # noqa: F401  (registers everything that a run can choose)

    for family in _families(Choice):
        for kind, config in sorted(family.choices.items()):
            yield family.noun, kind, first_line(config)
    for name, placement in PLACEMENTS.items():
        slots = {"before": "before the sublayer", "after": "after the sublayer", "outer": "after the sum"}
        where = [words for slot, words in slots.items() if getattr(placement, slot)]
        yield "placement", name, f"a norm {' and '.join(where)}" if where else "no norm"
    for name, kernel in KERNELS.items():
        yield "kernel", name, first_line(type(kernel))
    for name in ACTIVATIONS:
        yield "activation", name, ""


def _families(base: type[Any]) -> list[type[Any]]:
    """The classes that open a family of alternatives, in the order of their nouns."""
    found = {cls.noun: cls for cls in _below(base) if "noun" in vars(cls)}
    return [found[noun] for noun in sorted(found)]


def _below(base: type[Any]) -> Iterator[type[Any]]:
    for child in base.__subclasses__():
        yield child
        yield from _below(child)
