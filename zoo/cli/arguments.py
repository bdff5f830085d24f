"""What several verbs have in common on the command line."""

from __future__ import annotations

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


def examples(*lines: str) -> str:
    """Commands as the end of a help page, each on a line of its own."""
    return "\n".join(("\b", "Examples:", *(f"  {line}" for line in lines)))
