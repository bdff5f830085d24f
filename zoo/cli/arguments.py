"""What several verbs have in common on the command line."""

from __future__ import annotations

import re
from typing import Annotated

import typer

Settings = Annotated[
    list[str] | None,
    typer.Argument(metavar="key=value", help="settings over the config, for example model.positions=alibi"),
]
ConfigName = Annotated[
    str,
    typer.Argument(metavar="config", help="a shipped name (see `zoo list`), the path of a .yaml file, or a run folder"),
]
ModelFolder = Annotated[
    str, typer.Argument(metavar="folder", help="a run folder, a checkpoint in it, or a model folder")
]
RunFolderName = Annotated[str, typer.Argument(metavar="run", help="a run folder, for example runs/gpt-nano")]
Which = Annotated[
    str,
    typer.Option(metavar="newest|best", help="which checkpoint of a run; the best is kept where best.keep says so"),
]
Wait = Annotated[
    bool,
    typer.Option("--wait", help="only make the folder ready; zoo pretrain trains it, for example under torchrun"),
]
Weights = Annotated[
    str,
    typer.Option(metavar="raw|ema", help="of a run with trainer.ema: the weights as trained, or their moving average"),
]


def whole_number(text: str) -> int:
    """For options: a whole number, or wrong use that names the value."""
    try:
        return int(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a whole number") from None


def number(text: str) -> float:
    """For options: a number, or wrong use that names the value."""
    try:
        return float(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a number") from None


PAGE = 76
"""Columns of an example: those of a terminal of 80 without the margin of a help page."""
WORD = re.compile(r"""(?:[^\s"']|"[^"]*"|'[^']*')+""")


def examples(*lines: str) -> str:
    """Commands as the end of a help page, each from the beginning of a line, none wider than a page.

    Args:
        lines: a command; behind it, after two spaces, `# …` may say what it does or what it needs. A line that begins
            with # is said of all that follow.
    """
    parted = [(command.rstrip(), mark + note) for command, mark, note in (line.partition("# ") for line in lines)]
    beside = [command for command, note in parted if note and len(f"{command}  {note}") <= PAGE]
    column = max(map(len, beside), default=0) + 2
    shown: list[str] = []
    for command, note in parted:
        aligned = f"{command:{column}}{note}" if note else command
        if command in beside and len(aligned) > PAGE:
            aligned = f"{command}  {note}"
        shown += [aligned] if len(aligned) <= PAGE and command else [*([note] if note else []), *_folded(command)]
    return "\n".join(("\b", "Examples:", *(f"  {line}" for line in shown)))


def _folded(command: str) -> list[str]:
    """A command in lines that a shell reads as one; an option stays with its value, and `<` with its file."""
    units: list[str] = []
    for word in WORD.findall(command):
        opened = bool(units) and re.match(r"(--[^ ]+|[<>|])$", units[-1])
        units[-1:] = [f"{units[-1]} {word}"] if opened and not word.startswith("--") else [*units[-1:], word]
    lines = units[:1]
    for unit in units[1:]:
        if len(f"{lines[-1]} {unit} \\") <= PAGE:
            lines[-1] += f" {unit}"
        else:
            lines.append(f"    {unit}")
    return [f"{line} \\" for line in lines[:-1]] + lines[-1:]
