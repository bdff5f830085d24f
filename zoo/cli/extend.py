"""`zoo extend`: a run goes on with a larger budget."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zoo.cli.arguments import RunFolderName, Wait, examples
from zoo.cli.pretrain import is_first_rank, summarize
from zoo.cli.screen import note

EXAMPLES = examples(
    "zoo extend runs/gpt-nano trainer.max_steps=2000",
    "# needs such runs of your own",
    "zoo extend runs/t5-long trainer.max_tokens=5e9 trainer.keep=3",
    "zoo extend runs/bert-wsd trainer.max_steps=200000 --wait",
)


def run(
    folder: RunFolderName,
    settings: Annotated[
        list[str] | None,
        typer.Argument(metavar="key=value", help="the new budget, in the unit of the old one: trainer.max_steps=…"),
    ] = None,
    wait: Wait = False,
) -> None:
    """Go on with a finished or stopped run for longer.

    It ends with the weights of a run that had the larger budget from the start. Where its schedule would have gone
    another way since (linear and cosine do after the warm-up), it is refused; zoo branch is for that.
    """
    from zoo.training.extend import config_of, extend
    from zoo.training.launch import refuse_started_ranks
    from zoo.training.run import pretrain

    path = Path(folder).expanduser()
    refuse_started_ranks("extend")
    # The first process makes the folder ready before it starts others, which come here by the same command.
    config = extend(path, settings or ()) if is_first_rank() else config_of(path)
    if wait:
        note(f"{path} waits; zoo pretrain {path / 'config.yaml'} --folder {path} goes on with it")
        return
    result = pretrain(config, path)
    if is_first_rank():
        summarize(config, result)
