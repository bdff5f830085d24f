"""What several verbs have in common on the command line."""

from __future__ import annotations

from typing import Annotated

import typer

Settings = Annotated[
    list[str] | None,
    typer.Argument(metavar="key=value", help="settings over the config, for example trainer.max_steps=100"),
]
ConfigName = Annotated[
    str, typer.Argument(metavar="config", help="a shipped name (see `zoo list`) or the path of a .yaml file")
]
ModelFolder = Annotated[
    str, typer.Argument(metavar="folder", help="a run folder, a checkpoint in it, or a model folder")
]


def examples(*lines: str) -> str:
    """Commands as the end of a help page, each on a line of its own."""
    return "\n".join(("\b", "Examples:", *(f"  {line}" for line in lines)))
