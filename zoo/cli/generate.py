"""`zoo generate`: writes texts."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoo.cli.arguments import ModelFolder, Weights, Which, examples, whole_number
from zoo.cli.decoding_options import OPTIONS, check_options, with_decoding
from zoo.cli.left_out import SkipInvalid, chosen, take
from zoo.cli.opening import Device, Dtype, check_folder, open_model
from zoo.cli.screen import note, screen_width, visible
from zoo.cli.text_file import Field, File, Output, Texts, check_output, json_lines, texts_from
from zoo.errors import ZooError

if TYPE_CHECKING:
    from zoo.generation.texts import Piece
    from zoo.pretrained import Pretrained

EXAMPLES = examples(
    'zoo generate runs/gpt-nano "Return the"',
    'zoo generate runs/gpt-nano "Return the" --temperature 0.8 --top-p 0.95 --seed 7 --max-new-tokens 100',
    'zoo generate runs/gpt-nano "Return the" --num-beams 4 --num-return 2',
    'zoo generate runs/t5-nano "Return the <extra_id_0> of a list."',
    "# needs these files of prompts",
    "zoo generate runs/gpt-nano --file prompts.jsonl --field question --output answers.jsonl --stop Q:",
    "zoo generate runs/gpt-nano --file - --output - < prompts.txt",
)


@with_decoding(*OPTIONS)
def run(
    folder: ModelFolder,
    prompt: Annotated[
        list[str] | None,
        typer.Argument(metavar="prompt", help="what to go on with; '-- text' where it begins with a -"),
    ] = None,
    max_new_tokens: Annotated[
        int | None,
        typer.Option(
            parser=whole_number,
            metavar="number",
            help="tokens to write at most; 64 behind the prefix where nobody says",
        ),
    ] = None,
    *,
    decoding: dict[str, Any],
    prefix: Annotated[str, typer.Option(metavar="text", help="what the output begins with")] = "",
    file: File = None,
    field: Field = None,
    output: Output = None,
    weights: Weights = "raw",
    which: Which = "newest",
    skip_invalid: SkipInvalid = False,
    device: Device = None,
    dtype: Dtype = None,
) -> None:
    """Go on with a text, or answer to it.

    A decoder (GPT) goes on with the prompt, an encoder-decoder (T5) answers to it. Greedy unless a temperature is
    given. Texts appear in the order of their prompts, each while it is written where none is chosen among several; a
    terminal has a rule before each of several texts, other output an empty line between prompts. With
    --output, a line of JSON for each text: prompt, text, tokens, log_probabilities (one
    more than tokens where a token ended the text), score, finished. What is drawn for a prompt depends on its place
    among those that are not left out.
    """
    check_folder(folder)
    prompts = texts_from(prompt, file, field, "prompt", skip=skip_invalid)
    check_output(output)
    as_pieces = check_options(decoding, max_new_tokens).several is None and output is None
    options = {"max_new_tokens": max_new_tokens, "prefix": prefix, **decoding}
    write(open_model(folder, which, weights, device, dtype), prompts, options, output, as_pieces, skip_invalid)


def write(
    model: Pretrained,
    prompts: Texts,
    options: dict[str, Any],
    output: str | None,
    as_pieces: bool,
    skip_invalid: bool,
) -> None:
    """Writes texts to the screen, while they are written or when they are whole, or as JSON Lines into `output`."""
    begins = prompts if model.config.kind == "decoder" else [""] * len(prompts)
    if as_pieces:
        streamed = take(prompts, skip_invalid, lambda numbers: model.stream(chosen(prompts, numbers), **options))
        names = [prompts.called(number) for number in streamed.numbers]
        show_in_order(chosen(begins, streamed.numbers), streamed.found, names)
        return
    taken = take(prompts, skip_invalid, lambda numbers: model.generations(chosen(prompts, numbers), **options))
    if output is None:
        for place, (number, texts) in enumerate(zip(taken.numbers, taken.found, strict=True)):
            show_whole(
                [begins[number] + one.text for one in texts],
                prompts.called(number),
                is_first=place == 0,
                is_alone=len(taken.numbers) == 1,
            )
            for one in texts:
                _tell_empty(one.text, prompts.called(number))
        return
    with json_lines(output) as lines:
        for number, prompt in enumerate(prompts):
            record = {**prompts.place(number), "prompt": prompt}
            if number in taken.left_out:
                lines.write({**record, "error": taken.left_out[number]})
                continue
            for one in next(taken.found):
                lines.write({**record, **one._asdict()})


def show_whole(texts: Sequence[str], name: str, *, is_first: bool, is_alone: bool) -> None:
    """Prints the texts of one prompt, best first.

    Args:
        texts: with what they go on from. name: of the prompt.
        is_first, is_alone: whether its texts are the first ones, the only ones.
    """
    for place, text in enumerate(texts):
        which = name if len(texts) == 1 else f"{name}, {place + 1} of {len(texts)}"
        if not (is_alone and len(texts) == 1):
            print(heading(which, is_first=is_first, is_prompt=place == 0), end="")
        print(visible(text), flush=True)


def show_in_order(begins: Sequence[str], pieces: Iterable[Piece], names: Sequence[str]) -> None:
    """Prints texts one below the other: pieces of the one whose turn it is as they come, those of later ones are held.

    Args:
        begins: what stands before each text.
        pieces: of all texts, mixed.
        names: of the texts.
    """
    begins = [visible(begin) for begin in begins]
    if len(begins) > 1:
        begins = [heading(name, is_first=place == 0) + begins[place] for place, name in enumerate(names)]
    print(begins[0], end="", flush=True)
    held: list[list[str]] = [[] for _ in begins]
    written, ended, turn = [""] * len(begins), [False] * len(begins), 0
    with _ending_the_line():
        for piece in pieces:
            held[piece.prompt].append(piece.text)
            written[piece.prompt] = written[piece.prompt] or piece.text
            ended[piece.prompt] = piece.last
            while turn < len(begins):
                print(visible("".join(held[turn])), end="", flush=True)
                held[turn].clear()
                if not ended[turn]:
                    break
                print(flush=True)
                _tell_empty(written[turn], names[turn])
                turn += 1
                print(begins[turn] if turn < len(begins) else "", end="", flush=True)


def heading(name: str, *, is_first: bool, is_prompt: bool = True) -> str:
    """What stands before one of several texts: on a terminal a rule, elsewhere an empty line between two prompts.

    Args:
        name: of the text. is_first: whether its prompt is the first. is_prompt: whether it is its prompt's first text.
    """
    if sys.stdout.isatty():
        return f"── {visible(name)} ".ljust(screen_width(), "─") + "\n"
    return "\n" if is_prompt and not is_first else ""


def _tell_empty(text: str, name: str) -> None:
    if not text:
        note(f"note: nothing was written for {name}, or special tokens only")


@contextlib.contextmanager
def _ending_the_line() -> Iterator[None]:
    """Where an error or Ctrl-C breaks a text off, its message gets a line of its own."""
    try:
        yield
    except (ZooError, KeyboardInterrupt):
        print(flush=True)
        raise
