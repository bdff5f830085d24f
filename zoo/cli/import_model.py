"""`zoo import`: a model of somebody else as a model folder of ours."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zoo.cli.arguments import examples
from zoo.cli.screen import note

EXAMPLES = examples(
    "# needs what is named, fetched or (hub:) with a network",
    "zoo import downloads/bert-base-uncased models/bert",
    "zoo import hub:openai-community/gpt2 models/gpt2 --revision main",
    "zoo import nanoGPT/out/ckpt.pt models/nano --unsafe-format nanogpt --tokenizer downloads/gpt2",
    "zoo import llama2.c/stories15M.bin models/stories --unsafe-format llama2c",
    "zoo import Llama-2-7b models/llama --unsafe-format meta",
    "zoo import downloads/opus-mt-en-de models/marian --unsafe-format pytorch",
)

UNSAFE_FORMATS = ("llama2c", "meta", "nanogpt", "pytorch")
"""Those of `zoo.interop.unsafe`, which takes torch to import."""


def run(
    source: Annotated[str, typer.Argument(metavar="source", help="a Hugging Face folder, or hub:owner/name")],
    folder: Annotated[str, typer.Argument(metavar="folder", help="the new model folder; it must not exist yet")],
    unsafe_format: Annotated[
        str | None,
        typer.Option(
            "--unsafe-format",
            metavar="|".join(UNSAFE_FORMATS),
            help="read a pickle of this format, in weights-only mode; only where you trust its source",
        ),
    ] = None,
    tokenizer: Annotated[
        str | None, typer.Option(metavar="path", help="the tokenizer's folder or file, where the source has none")
    ] = None,
    revision: Annotated[
        str | None, typer.Option(metavar="name", help="of a model on the hub: a branch, a tag or a commit")
    ] = None,
) -> None:
    """Write a model of somebody else as a model folder of ours.

    Opens Hugging Face folders with safetensors (zoo list --architectures); nothing in them is executed. The network is
    used for hub:owner/name alone. Weights are checked, and keep the types that they are stored in.
    """
    from zoo.importing import import_model
    from zoo.interop.suggestions import told

    is_there = source.startswith("hub:") or Path(source).expanduser().exists()
    if is_there and not Path(folder).expanduser().exists():  # else it is refused before anything is read
        note(f"reads {source}")
    model = import_model(source, folder, unsafe_format=unsafe_format, tokenizer=tokenizer, revision=revision)
    suggested = [one for one in told(model.conventions.suggestions) if one.ours]
    if suggested:
        options = ", ".join(dict.fromkeys(one.ours for one in suggested))
        note(
            f"kept, not applied: for generation its maker suggests {', '.join(one.written for one in suggested)}; ask "
            f"for it by options of generate ({options})"
        )
    print(f"{folder}: {model!r}")
