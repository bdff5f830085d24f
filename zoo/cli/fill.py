"""`zoo fill`: fills the blanks of a text."""

from __future__ import annotations

from typing import Annotated

import typer

from zoo.cli.arguments import ModelFolder, Weights, Which, examples, whole_number
from zoo.cli.opening import Device, Dtype, check_folder, open_model
from zoo.cli.screen import note, table, visible
from zoo.cli.text_file import Field, File, Output, check_output, json_lines, texts_from

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
    field: Field = None,
    output: Output = None,
    weights: Weights = "raw",
    which: Which = "newest",
    device: Device = None,
    dtype: Dtype = None,
) -> None:
    """Fill the blanks of a text.

    An encoder (BERT) names candidates for each mask, an encoder-decoder (T5) writes a text into each blank. With
    --output, a line of JSON for each text: text, filled, and for each blank its candidates with their probabilities.
    """
    check_folder(folder)
    texts = texts_from(text, file, field, "text")
    check_output(output)
    model = open_model(folder, which, weights, device, dtype)
    if output is not None:
        found = []  # all of them before the file is made: a wrong text leaves none behind
        for number, one in enumerate(texts):
            with texts.telling(number):
                found.append(model.fill(one, top=top))
        with json_lines(output) as lines:
            for number, (one, filled) in enumerate(zip(texts, found, strict=True)):
                blanks = [[candidate._asdict() for candidate in blank] for blank in filled.blanks]
                lines.write({**texts.place(number), "text": one, "filled": filled.text, "blanks": blanks})
        return
    for place, one in enumerate(texts):
        with texts.telling(place):
            filled = model.fill(one, top=top)
        print(("\n" if place else "") + visible(f"{filled.text}\n"))
        rows = [
            (number, candidate.text, candidate.probability)
            for number, blank in enumerate(filled.blanks, start=1)
            for candidate in blank
        ]
        for number, blank in enumerate(filled.blanks, start=1):
            if not blank:
                note(f"note: nothing was written into blank {number}")
        if rows:
            table("", ("blank", "filled with", "probability"), rows)
