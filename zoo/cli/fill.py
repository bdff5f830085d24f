"""`zoo fill`: fills the blanks of a text."""

from __future__ import annotations

from typing import Annotated

import typer

from zoo.cli.arguments import ModelFolder, Weights, Which, examples, whole_number
from zoo.cli.screen import table

EXAMPLES = examples(
    'zoo fill runs/bert-nano "Return a [MASK] of the list."',
    'zoo fill runs/bert-nano "Return a [MASK] of the [MASK]." --top 3',
    'zoo fill runs/t5-nano "Return the <extra_id_0> of a <extra_id_1>."',
)


def run(
    folder: ModelFolder,
    text: Annotated[
        str, typer.Argument(metavar="text", help="with [MASK] (BERT) or <extra_id_0>, <extra_id_1>, … (T5)")
    ],
    top: Annotated[
        int | None,
        typer.Option(parser=whole_number, metavar="number", help="candidates for each [MASK]; 5 where nobody says"),
    ] = None,
    weights: Weights = "raw",
    which: Which = "newest",
) -> None:
    """Fill the blanks of a text.

    An encoder (BERT) names candidates for each mask, an encoder-decoder (T5) writes a text into each blank.
    """
    from zoo.loading import load

    filled = load(folder, which=which, weights=weights).fill(text, top=top)
    print(f"{filled.text}\n")
    rows = [
        (number, candidate.text, candidate.probability)
        for number, blank in enumerate(filled.blanks, start=1)
        for candidate in blank
    ]
    table("", ("blank", "filled with", "probability"), rows)
