"""`zoo tokenizer inspect`: what a tokenizer is, what it makes of a text, and how well it serves one."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zoo.cli.arguments import examples
from zoo.cli.screen import ENDLESS, table

if TYPE_CHECKING:
    from zoo.tokenizer.tokenizer import Tokenizer

EXAMPLES = examples(
    "zoo tokenizer inspect runs/gpt-nano",
    'zoo tokenizer inspect runs/bert-nano "Colourless green ideas sleep furiously."',
    "zoo tokenizer inspect bert/vocab.txt --file held-out.txt  # needs both files",
    "zoo tokenizer inspect spiece.model --file german.txt --file english.txt  # needs these files",
)

COLOURS = ("black on bright_cyan", "black on bright_yellow")
"""Of neighbouring tokens, in turn."""


def run(
    path: Annotated[
        str,
        typer.Argument(
            metavar="tokenizer",
            help="a run or model folder, or a tokenizer's folder or file: tokenizer.json, vocab.txt, vocab.json with "
            "merges.txt, SentencePiece .model",
        ),
    ],
    texts: Annotated[list[str] | None, typer.Argument(metavar="text", help="texts to cut into tokens")] = None,
    file: Annotated[
        list[str] | None, typer.Option(help="a file of text, a document a line, to measure it on; repeatable")
    ] = None,
) -> None:
    """Show a tokenizer, and the tokens of a text.

    That is its vocabulary, special tokens and steps, and of a text the pieces with their ids.

    With --file: tokens per word, bytes per token, how many characters it has no token for, and whether text comes
    back. Special tokens that are written out in a text, as [MASK], become their ids, as in a prompt.
    """
    from zoo.data.files import lines
    from zoo.tokenizer.foreign import open_tokenizer

    tokenizer = open_tokenizer(path)
    show_tokenizer(path, tokenizer)
    for text in texts or ():
        print()
        show_tokens(tokenizer, text)
    for name in file or ():
        print()
        show_quality(f"on {name}", tokenizer, (line for _, line in lines(Path(name).expanduser())))


def show_tokenizer(title: str, tokenizer: Tokenizer) -> None:
    """Prints what a tokenizer is."""
    described = json.loads(tokenizer.definition)
    rows: list[tuple[str, object]] = [
        ("model", described["model"].get("type", "")),
        ("entries", tokenizer.vocab_size),
        *((f"  {role}", f"{tokenizer.token(id)} = {id}") for role, id in tokenizer.roles.items()),
    ]
    if tokenizer.sentinels:
        first, last = tokenizer.sentinels[0], tokenizer.sentinels[-1]
        named = f"{tokenizer.token(first)} = {first} … {tokenizer.token(last)} = {last}"
        rows.append((f"  {len(tokenizer.sentinels)} sentinels", named))
    rows += [
        ("normalizer", _steps(described.get("normalizer"))),
        ("cut into words by", _steps(described.get("pre_tokenizer"))),
        ("SHA-256", tokenizer.fingerprint[:16]),
    ]
    table("", ("tokenizer", title), rows)


def _steps(part: dict[str, object] | None) -> str:
    """The types of a step of tokenizer.json, and of those inside it."""
    if part is None:
        return "nothing"
    inner = part.get("normalizers") or part.get("pretokenizers")
    if isinstance(inner, list):
        return ", ".join(_steps(one) for one in inner)
    return str(part.get("type"))


def show_tokens(tokenizer: Tokenizer, text: str) -> None:
    """Prints the tokens of a text, each with its id: in colours on a terminal, else between bars."""
    from rich.console import Console
    from rich.text import Text

    ids = tokenizer.prompt(text).tolist()
    terminal = sys.stdout.isatty()
    console = Console(width=None if terminal else ENDLESS, highlight=False)
    shown = Text()
    for number, id in enumerate(ids):
        shown.append(f" {tokenizer.token(id)} ", style=COLOURS[number % 2])
        shown.append(f"{id}", style="dim")
        shown.append(" " if terminal else " │ ")
    console.print(shown)
    back = tokenizer.decode(ids, skip_special=False)
    words = f"{len(ids)} tokens for {len(text)} characters"
    print(words if back == text else f"{words}; decoded: {back}")


def show_quality(title: str, tokenizer: Tokenizer, texts: Iterable[str]) -> None:
    """Prints how well a tokenizer serves texts."""
    from zoo.tokenizer.quality import measure

    found = measure(tokenizer, texts)
    rows: list[tuple[str, object]] = [
        ("texts", found.texts),
        ("words", found.words),
        ("tokens", found.tokens),
        ("tokens per word (fertility)", found.fertility),
        ("words of more than one token", f"{found.continued:.1%}"),
        ("bytes per token", found.bytes_per_token),
        ("characters per token", found.characters_per_token),
        ("characters that it covers", f"{found.coverage:.3%}"),
        ("tokens that are the unknown one", f"{found.unknown:.3%}"),
        ("entries that occur", f"{found.used:.1%}"),
        ("texts that come back exactly", f"{found.came_back:.1%}"),
        ("  but for white space and case", f"{found.nearly:.1%}"),
    ]
    if found.difference is not None:
        rows += [("first that does not", found.difference.text), ("  it came back as", found.difference.decoded)]
    table("", ("quality", title), rows)
