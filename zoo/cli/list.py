"""`zoo list`: what there is by name: models, shipped configs, and all else that is chosen by name."""

from __future__ import annotations

import functools
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
    'zoo list --choices "un*"',
    "zoo list --architectures",
)


WIDE = 130
"""Columns of the table of architectures, whose lists of classes would not end."""
OWN_LISTS = ("preset", "architecture")
"""What `zoo list` and `zoo list --architectures` show."""


def run(
    pattern: Annotated[str, typer.Argument(metavar="pattern", help='names to show, for example "bert*"')] = "*",
    choices: Annotated[
        bool, typer.Option("--choices", help="all else that is chosen by name: positions, norms, objectives, caches, …")
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
    shown = shown or [row for row in rows if pattern in row[0].split()]  # placement: norm placement
    if not shown:
        from zoo.registry import unknown_name

        raise ConfigError(unknown_name("choice", pattern, {noun for noun, _, _ in rows}))
    table("", ("choice", "name", "what it is"), shown)


def choice_rows() -> Iterator[tuple[str, str, str]]:
    """(noun, name, one line about it) of everything that is registered and has no list of its own."""
    import zoo.interop.unsafe
    import zoo.pretrained
    import zoo.training.config  # noqa: F401  (registers everything that a run can choose)
    from zoo.registry import tables

    for noun, entries in sorted(tables(), key=lambda table: table[0]):
        if noun not in OWN_LISTS:
            for name, entry in sorted(entries.items()):
                yield noun, name, about_entry(entry)


def about_entry(entry: Any) -> str:
    """One line about what a name stands for: of a class or a function its docstring's first."""
    from zoo.cli.documentation import first_line
    from zoo.nn.residual import Placement

    if isinstance(entry, Placement):
        slots = {"before": "before the sublayer", "after": "after the sublayer", "outer": "after the sum"}
        where = [words for slot, words in slots.items() if getattr(entry, slot)]
        return f"a norm {' and '.join(where)}" if where else "no norm"
    if isinstance(entry, functools.partial):
        settings = ", ".join(f"{name}={value!r}" for name, value in entry.keywords.items())
        return f"{about_entry(entry.func)} with {settings}"
    named = entry if hasattr(entry, "__name__") else type(entry)
    return f"torch's {named.__name__}" if named.__module__.split(".")[0] == "torch" else first_line(named)
