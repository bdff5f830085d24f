"""`zoo evaluate`: the validation loss of a trained model, on its run's own held-out text or on other text."""

from __future__ import annotations

import json as json_format
import math
from pathlib import Path
from typing import Annotated

import typer

from zoo.cli.arguments import ModelFolder, Weights, examples
from zoo.cli.screen import table

EXAMPLES = examples(
    "zoo evaluate runs/gpt-nano",
    "zoo evaluate runs/gpt-nano/checkpoints/step-500 --json",
    "zoo evaluate runs/gpt-nano --weights ema",
    "zoo evaluate runs/gpt-nano data.source.kind=text data.source.path=other.txt data.validation_fraction=0.5",
    "zoo evaluate my-model objectives.causal_lm.kind=causal_lm data.source.kind=stdlib",
)


def run(
    folder: ModelFolder,
    settings: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="key=value",
            help="what is measured otherwise than in the run, for example data.source.path=other.txt",
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="print JSON instead of a table")] = False,
    weights: Weights = "raw",
) -> None:
    """Measure the loss on held-out text.

    Loss and accuracy are means over the whole held-out split.
    The text is that of the run unless data.…= says otherwise; the tokenizer is always the model's own. A model folder
    that belongs to no run needs objectives.…= and data.…= too.
    """
    from zoo.cli.held_out import evaluate_folder

    report = evaluate_folder(Path(folder).expanduser(), settings or (), weights)
    if json:
        print(json_format.dumps(report._asdict() | {"model": str(report.model)}, indent=2))
        return
    every = [metric for means in report.objectives.values() for metric in means if metric != "loss"]
    metrics = tuple(dict.fromkeys(every))
    rows = [
        (name, means["loss"], math.exp(means["loss"]) if means["loss"] < 700 else None, *map(means.get, metrics))
        for name, means in report.objectives.items()
    ]
    headings = ("objective", "loss", "exp(loss)", *metrics)
    table(f"{report.model}, {report.rows:,} held-out rows\n", headings, rows)
    print(f"\nvalidation loss {report.loss:.4f}")
