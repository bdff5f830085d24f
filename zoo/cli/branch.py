"""`zoo branch`: a new run from a step of another one, with other settings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zoo.cli.arguments import RunFolderName, Settings, Wait, examples, whole_number
from zoo.cli.pretrain import is_first_rank, summarize
from zoo.cli.screen import note

EXAMPLES = examples(
    "zoo branch runs/gpt-nano --step 400 --name gpt-cooler optimizer.learning_rate=1e-4",
    "# needs text in law/",
    "zoo branch runs/bert-nano --name bert-other-text data.source.kind=text data.source.path=law/ --wait",
    "# needs a run with schedule.kind=warmup_stable_decay",
    "zoo branch runs/gpt-wsd --step 8000 --name gpt-wsd-10k trainer.max_steps=10000 schedule.decay_share=0.2",
)


def run(
    folder: RunFolderName,
    name: Annotated[str, typer.Option(help="name of the new run; its folder is made beside the old one")],
    settings: Settings = None,
    step: Annotated[
        int | None,
        typer.Option(parser=whole_number, metavar="N", help="which checkpoint to start from; without it: the newest"),
    ] = None,
    to: Annotated[str | None, typer.Option("--folder", help="where the new run lives instead")] = None,
    wait: Wait = False,
) -> None:
    """Start a new run from a step of another one.

    The new run has the weights, the optimizer's state and the log up to that step, and a record of where it came from
    (origin.json). Of data, order and schedule, step N is what it would be in a run with the new settings. The same
    command again goes on with it.
    """
    from zoo.training.branch import branch
    from zoo.training.extend import config_of
    from zoo.training.launch import refuse_started_ranks
    from zoo.training.run import pretrain

    refuse_started_ranks("branch")
    path = branch(Path(folder).expanduser(), step, name, settings or (), Path(to).expanduser() if to else None)
    if wait:
        note(f"{path} waits; zoo pretrain {path / 'config.yaml'} --folder {path} goes on with it")
        return
    config = config_of(path)
    result = pretrain(config, path)
    if is_first_rank():
        summarize(config, result)
