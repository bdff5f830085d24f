"""`zoo fill`: fills the blanks of a text."""

from __future__ import annotations

from typing import Annotated

import typer

from zoo.cli.arguments import ModelFolder, Weights, Which, examples, whole_number
from zoo.cli.screen import table
from zoo.cli.text_file import Field, File, Output, json_lines, texts_from

EXAMPLES = examples(
    'zoo fill runs/bert-nano "Return a [MASK] of the list."',
    'zoo fill runs/bert-nano "Return a [MASK] of the [MASK]." --top 3',
    'zoo fill runs/t5-nano "Return the <extra_id_0> of a <extra_id_1>."',
    "zoo fill runs/bert-nano --file texts.txt --output filled.jsonl",
)


def run(
    folder: ModelFolder,
    text: Annotated[
        list[str] | None,
        typer.Argument(metavar="text", help="with [MASK] (BERT) or <extra_id_0>, <extra_id_1>, … (T5)"),
    ] = None,
    top: Annotated[
        int | None,
        typer.Option(parser=whole_number, metavar="number", help="candidates for each [MASK]; 5 where nobody says"),
    ] = None,
    file: File = None,
    field: Field = "text",
    output: Output = None,
    weights: Weights = "raw",
    which: Which = "newest",
) -> None:
    """Fill the blanks of a text.

    An encoder (BERT) names candidates for each mask, an encoder-decoder (T5) writes a text into each blank. With
    --output, a line of JSON for each text: text, filled, and for each blank its candidates with their probabilities.
    """
    from zoo.loading import load

    texts = texts_from(text, file, field, "text")
    model = load(folder, which=which, weights=weights)
    if output is not None:
        with json_lines(output) as lines:
            for one in texts:
                filled = model.fill(one, top=top)
                blanks = [[candidate._asdict() for candidate in blank] for blank in filled.blanks]
                lines.write({"text": one, "filled": filled.text, "blanks": blanks})
        return
    for place, one in enumerate(texts):
        filled = model.fill(one, top=top)
        print(("\n" if place else "") + f"{filled.text}\n")
        rows = [
            (number, candidate.text, candidate.probability)
            for number, blank in enumerate(filled.blanks, start=1)
            for candidate in blank
        ]
        table("", ("blank", "filled with", "probability"), rows)
