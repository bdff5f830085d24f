"""`zoo pretrain`: trains a run, or goes on with it."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zoo.cli.arguments import ConfigName, Settings, examples
from zoo.cli.screen import note, table

if TYPE_CHECKING:
    from zoo.training.config import RunConfig
    from zoo.training.run import Result

EXAMPLES = examples(
    "zoo pretrain bert-nano",
    "zoo pretrain gpt-nano trainer.max_steps=200 optimizer.learning_rate=3e-4 name=gpt-quick",
    "zoo pretrain runs/gpt-quick  # goes on with it",
    "zoo pretrain bert-nano --fresh  # the old run is moved aside",
    "zoo pretrain gpt-nano data.source.kind=text data.source.path=books/ name=gpt-books  # needs text in books/",
    "zoo pretrain my.yaml --folder /data/runs/mine  # needs my.yaml",
)

RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID")
"""Variables that launchers number a run's processes with, in the order in which they are asked."""

SHARE = "train/share/"
"""Columns of the log that say how much of the tokens came from each source."""

AVERAGED = "validation_ema/loss"
"""The validation loss of the moving average of the weights, where a run keeps one."""

TRY = {
    "encoder": 'zoo fill {folder} "The [MASK] is a list."',
    "decoder": 'zoo generate {folder} "The " --temperature 0.8',
    "encoder_decoder": 'zoo fill {folder} "The <extra_id_0> is a list."',
}
"""What a trained model of each family can be tried with."""


def run(
    config: ConfigName,
    settings: Settings = None,
    folder: Annotated[
        str | None, typer.Option(help="where the run lives; without it: runs/<name>, or the run folder given")
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="move an older run of this folder aside and start anew")
    ] = False,
) -> None:
    """Train a model from a config.

    The same command continues a run that was stopped, however that happened. Ctrl-C saves first. A run folder holds the
    resolved config, the log (metrics.csv), the tokenizer, checkpoints and a picture of it all (report.html).
    """
    from zoo.training.shipped import load_run, own_folder

    resolved = load_run(config, settings or ())  # before what trains is imported, so that a mistake is told at once
    from zoo.training.run import pretrain

    place = Path(folder).expanduser() if folder else own_folder(config, resolved)
    result = pretrain(resolved.config, place, fresh=fresh)
    if is_first_rank():
        summarize(resolved.config, result)


def is_first_rank() -> bool:
    """Whether this is the process of the run that talks; a run of one process is."""
    numbers = [os.environ[name] for name in RANKS if os.environ.get(name)]
    return not numbers or numbers[0] == "0"


def summarize(config: RunConfig, result: Result) -> None:
    """Prints what came out and what to do next."""
    if result.already_finished:
        note(f"{result.folder} is finished already; --fresh starts anew")
    metrics = result.metrics
    speed = result.tokens / result.seconds if result.seconds else None
    rows: list[tuple[str, object]] = [
        ("family", config.model.kind),
        ("parameters", result.parameters),
        ("steps", result.steps),
        *([("ended early", result.ended)] if result.ended else []),
        ("tokens", result.tokens),
        ("loss, first → last", f"{result.first_loss:.3f} → {metrics.get('train/loss', float('nan')):.3f}"),
        (
            "validation loss",
            f"{metrics['validation/loss']:.3f}" if "validation/loss" in metrics else "nothing held out",
        ),
        *([("  of the average", f"{metrics[AVERAGED]:.3f}")] if AVERAGED in metrics else []),
        *(
            (f"  {name}", f"{metrics[f'validation/{name}/loss']:.3f}")
            for name in (config.objectives if len(config.objectives) > 1 else ())
            if f"validation/{name}/loss" in metrics
        ),
        *(
            (f"  share of {name.removeprefix(SHARE)}", f"{100 * value:.3g} %")
            for name, value in metrics.items()
            if name.startswith(SHARE)
        ),
        ("tokens/s", None if speed is None else round(speed)),
        ("run folder", result.folder),
        *([("best checkpoint", result.best)] if result.best else []),
    ]
    table("", ("", config.name), rows)
    print("\nnext:")
    for line in (TRY[config.model.kind], "zoo evaluate {folder}", "zoo describe {folder}"):
        print(f"  {line.format(folder=shlex.quote(str(result.folder)))}")
