"""`zoo evaluate`: the validation loss of a trained model, on its run's own held-out text or on other text."""

from __future__ import annotations

import json as json_format
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from zoo.cli.arguments import ModelFolder, Weights, Which, examples
from zoo.cli.rows_bar import rows_bar
from zoo.cli.screen import table, table_width

if TYPE_CHECKING:
    from zoo.training.evaluation import Bin

EXAMPLES = examples(
    "zoo evaluate runs/gpt-nano",
    "zoo evaluate runs/gpt-nano/checkpoints/step-400 --json",
    "zoo evaluate runs/gpt-nano --weights ema  # needs a run with trainer.ema",
    "zoo evaluate runs/gpt-nano --which best  # needs a run with best.keep=1",
    "zoo evaluate runs/gpt-nano data.source.kind=text data.source.path=other.txt  # needs other.txt",
    "# needs a model folder that belongs to no run",
    "zoo evaluate my-model objectives.causal_lm.kind=causal_lm data.source.kind=stdlib",
)


def run(
    folder: ModelFolder,
    settings: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="key=value",
            help="what is measured otherwise than in the run, for example data.source.kind=text "
            "data.source.path=other.txt",
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="print JSON instead of a table")] = False,
    weights: Weights = "raw",
    which: Which = "newest",
) -> None:
    """Measure the loss on held-out text.

    All numbers are over the whole held-out split of the run's text; another text, named by data.source.…=, is measured
    whole unless data.validation_fraction= says which share of it is held out (1: all, of the run's text too).
    Bits per byte compares models with different tokenizers; of masked tokens and spans, whose surroundings the model
    sees, it and the perplexity are pseudo: compare them with their like.
    The tokenizer is always the model's own. A model folder that belongs to no run needs objectives.…= and data.…= too.
    """
    with rows_bar(f"measuring {folder}") as told:
        from zoo.training.held_out import evaluate  # takes seconds, which the line above is there for

        report = evaluate(folder, *(settings or ()), weights=weights, which=which, told=told)
    if json:
        curves = {name: [each._asdict() for each in bins] for name, bins in report.by_position.items()}
        print(json_format.dumps(report._asdict() | {"model": str(report.model), "by_position": curves}, indent=2))
        return
    every = [metric for means in report.objectives.values() for metric in means if metric != "loss"]
    metrics = tuple(dict.fromkeys(every))
    rows = [(name, means["loss"], *map(means.get, metrics)) for name, means in report.objectives.items()]
    headings = ("objective", "loss", *(metric.replace("_", " ") for metric in metrics))
    of = f"rows, all of {report.text}" if report.is_whole else f"held-out rows of {report.text}"
    table(f"{report.model}, {report.rows:,} {of} ({report.documents:,} documents)\n", headings, rows)
    for name, bins in report.by_position.items():
        print(f"\n{_wrapped(f'{name}, loss by position in the document: {curve_words(bins)}')}")
    print(f"\nvalidation loss {report.loss:.4f}")


def curve_words(bins: Sequence[Bin], most: int = 6) -> str:
    """Some points of a curve from its first to its last: `0–3: 4.81, 16–19: 3.90, …`."""
    chosen = sorted({round(number * (len(bins) - 1) / max(most - 1, 1)) for number in range(most)})
    return ", ".join(f"{bins[n].start}–{bins[n].stop - 1}: {bins[n].loss:.3f}" for n in chosen) if bins else "none"


def _wrapped(words: str) -> str:
    """Words in lines of the terminal; what stands behind a colon stays with what is before it."""
    kept = words.replace(": ", ":\N{NO-BREAK SPACE}")
    lines = textwrap.fill(kept, table_width(), break_long_words=False, break_on_hyphens=False)
    return lines.replace("\N{NO-BREAK SPACE}", " ")
