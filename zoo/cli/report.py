"""`zoo report`: the picture of a run, made anew from its folder; several runs laid over each other."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zoo.cli.arguments import examples
from zoo.cli.screen import note
from zoo.errors import ConfigError

EXAMPLES = examples(
    "zoo report runs/gpt-nano  # writes runs/gpt-nano/report.html",
    "zoo report runs/gpt-nano runs/gpt-nano-rotary  # and comparison.html",
    "zoo report runs/gpt-* --output comparisons/positions.html",
    "zoo report runs/mine --import my_blocks.py  # needs a run with own blocks",
)
COMPARISON = "comparison.html"


def run(
    folders: Annotated[list[str], typer.Argument(metavar="folder…", help="run folders; several are compared")],
    output: Annotated[
        str | None,
        typer.Option(help=f"file of the comparison; without it: {COMPARISON} here"),
    ] = None,
) -> None:
    """Draw the report of a run, or compare runs.

    Every run writes report.html into its folder when it ends. This verb makes it anew, of an unfinished run too, and
    lays several runs over each other on a page of its own. The pages need no network: curves, the model as blocks,
    parameters and FLOPs, the text, samples, attention, the config, the environment. Nothing in a folder is executed.
    """
    from zoo.report.write import read_runs, write_comparison, write_report

    places = [Path(folder).expanduser() for folder in folders]
    if output is not None and len(places) == 1:
        raise ConfigError("names the file of a comparison, and there is one run only; leave it out", "--output")
    read_runs(places)  # what is wrong with one of them is said before anything is written
    for place in places:
        path, remarks = write_report(place)
        for remark in remarks:
            note(f"note: {place}: {remark}")
        print(path)
    if len(places) > 1:
        print(write_comparison(places, Path(output or COMPARISON).expanduser())[0])
