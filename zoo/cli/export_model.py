"""`zoo export`: a model of ours as a folder that others open."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from zoo.cli.arguments import ModelFolder, Weights, Which, examples

EXAMPLES = examples(
    "zoo export runs/gpt-nano exported/gpt-nano",
    "zoo export runs/bert-nano exported/bert",
    "zoo export runs/bert-nano exported/best --which best  # needs a run with best.keep=1",
    "zoo export models/mine exported/mine --architecture mistral  # needs a model of Mistral's kind",
)


def run(
    source: ModelFolder,
    folder: Annotated[str, typer.Argument(metavar="new", help="the new folder; it must not exist yet")],
    format: Annotated[str, typer.Option("--format", metavar="transformers", help="who is to open it")] = "transformers",
    architecture: Annotated[
        str | None,
        typer.Option(metavar="name", help="what it is written as (zoo list --architectures); else the first that fits"),
    ] = None,
    which: Which = "newest",
    weights: Weights = "raw",
) -> None:
    """Write a model as a folder that transformers opens.

    The folder gets config.json, safetensors, the tokenizer and a model card.
    """
    from zoo.saving import export

    opened = export(
        source,
        folder,
        format,
        architecture=architecture,
        which=which,
        weights=weights,
        told=tell if _is_seen() else None,
    )
    print(f"{folder}: from transformers import {opened}; {opened}.from_pretrained({folder!r})")


def tell(done: int, total: int) -> None:
    """A line on stderr that is written over as files are finished."""
    end = "\n" if done == total else ""
    print(f"\rwritten: {done / 1e6:,.0f} of {total / 1e6:,.0f} MB", end=end, file=sys.stderr, flush=True)


def _is_seen() -> bool:
    return sys.stderr.isatty()
