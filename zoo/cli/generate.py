"""`zoo generate`: writes text."""

from __future__ import annotations

from typing import Annotated

import typer

from zoo.cli.arguments import ModelFolder, Weights, Which, examples, number, whole_number

EXAMPLES = examples(
    'zoo generate runs/gpt-nano "Return the"',
    'zoo generate runs/gpt-nano "Return the" --temperature 0.8 --top-p 0.95 --seed 7 --max-new-tokens 100',
    'zoo generate runs/t5-nano "Return the <extra_id_0> of a list."',
)


def run(
    folder: ModelFolder,
    prompt: Annotated[
        str, typer.Argument(metavar="prompt", help="what to go on with; '-- text' where it begins with a -")
    ],
    max_new_tokens: Annotated[
        int | None,
        typer.Option(parser=whole_number, metavar="number", help="tokens to write at most; 64 where nobody says"),
    ] = None,
    temperature: Annotated[
        float,
        typer.Option(
            parser=number, metavar="number", help="0: always the likeliest token; above: draw, wilder the higher"
        ),
    ] = 0.0,
    top_k: Annotated[
        int | None, typer.Option(parser=whole_number, metavar="number", help="draw from the k likeliest tokens only")
    ] = None,
    top_p: Annotated[
        float | None,
        typer.Option(parser=number, metavar="number", help="draw from the likeliest tokens that make up this share"),
    ] = None,
    seed: Annotated[
        int, typer.Option(parser=whole_number, metavar="number", help="the same seed draws the same text")
    ] = 0,
    weights: Weights = "raw",
    which: Which = "newest",
) -> None:
    """Go on with a text, or answer to it.

    A decoder (GPT) goes on with the prompt, an encoder-decoder (T5) answers to it. Greedy unless a temperature is
    given. The text appears while it is written.
    """
    from zoo.loading import load

    model = load(folder, which=which, weights=weights)
    pieces = model.stream(
        prompt, max_new_tokens=max_new_tokens, temperature=temperature, top_k=top_k, top_p=top_p, seed=seed
    )
    if model.config.kind == "decoder":
        print(prompt, end="", flush=True)
    for piece in pieces:
        print(piece, end="", flush=True)
    print()
