"""`zoo generate`: writes texts."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoo.cli import decoding_options as options
from zoo.cli.arguments import ModelFolder, Weights, Which, examples
from zoo.cli.opening import Device, Dtype, check_folder, open_model
from zoo.cli.screen import visible
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
    "zoo generate runs/gpt-nano --file prompts.jsonl --field question --output answers.jsonl --stop Q:",
    "zoo generate runs/gpt-nano --file - --output - < prompts.txt",
)

DECODING = (
    *("temperature", "top_k", "top_p", "min_p", "typical_p", "repetition_penalty", "frequency_penalty"),
    *("presence_penalty", "no_repeat_ngram_size", "min_new_tokens", "seed", "num_beams", "length_penalty"),
    *("early_stopping", "best_of", "num_return", "stop", "stop_tokens", "prefix_tokens", "cache"),
)
"""The options that are fields of `zoo.generation.decoding.DecodingConfig`: all of them."""


def run(
    context: typer.Context,
    folder: ModelFolder,
    prompt: Annotated[
        list[str] | None,
        typer.Argument(metavar="prompt", help="what to go on with; '-- text' where it begins with a -"),
    ] = None,
    max_new_tokens: options.MaxNewTokens = None,
    temperature: options.Temperature = None,
    top_k: options.TopK = None,
    top_p: options.TopP = None,
    min_p: options.MinP = None,
    typical_p: options.TypicalP = None,
    repetition_penalty: options.RepetitionPenalty = None,
    frequency_penalty: options.FrequencyPenalty = None,
    presence_penalty: options.PresencePenalty = None,
    no_repeat_ngram_size: options.NoRepeatNgramSize = None,
    min_new_tokens: options.MinNewTokens = None,
    seed: options.Seed = None,
    num_beams: options.NumBeams = None,
    length_penalty: options.LengthPenalty = None,
    early_stopping: options.EarlyStopping = None,
    best_of: options.BestOf = None,
    num_return: options.NumReturn = None,
    stop: options.Stop = None,
    stop_tokens: options.StopTokens = None,
    prefix: options.Prefix = "",
    prefix_tokens: options.PrefixTokens = None,
    cache: options.Cache = None,
    file: File = None,
    field: Field = None,
    output: Output = None,
    weights: Weights = "raw",
    which: Which = "newest",
    device: Device = None,
    dtype: Dtype = None,
) -> None:
    """Go on with a text, or answer to it.

    A decoder (GPT) goes on with the prompt, an encoder-decoder (T5) answers to it. Greedy unless a temperature is
    given. Texts appear in the order of their prompts, each while it is written where none is chosen among several. With
    --output, a line of JSON for each text: prompt, text, tokens, log_probabilities (one
    more than tokens where a token ended the text), score, finished.
    """
    check_folder(folder)
    prompts = texts_from(prompt, file, field, "prompt")
    check_output(output)
    given = options.given_options(context, DECODING)
    options.check_options(given, max_new_tokens)
    decoding = {"max_new_tokens": max_new_tokens, "prefix": prefix, **given}
    write(open_model(folder, which, weights, device, dtype), prompts, decoding, output)


def write(model: Pretrained, prompts: Texts, decoding: dict[str, Any], output: str | None) -> None:
    """Writes texts to the screen, piece by piece where that can be, or as JSON Lines into `output`."""
    if output is not None:
        with prompts.telling():
            found = model.generations(prompts, **decoding)
        with json_lines(output) as lines:
            for number, (prompt, texts) in enumerate(zip(prompts, found, strict=True)):
                for one in texts:
                    lines.write({**prompts.place(number), "prompt": prompt, **one._asdict()})
        return
    if not {"num_beams", "best_of", "num_return"} & set(decoding):
        begins = prompts if model.config.kind == "decoder" else [""] * len(prompts)
        with prompts.telling():
            pieces = model.stream(prompts, **decoding)
        show_in_order(begins, pieces)
        return
    with prompts.telling():
        found = model.generations(prompts, **decoding)
    for number, (prompt, texts) in enumerate(zip(prompts, found, strict=True)):
        print("\n" if number else "", end="")
        for one in texts:
            print(visible((prompt if model.config.kind == "decoder" else "") + one.text), flush=True)


def show_in_order(begins: Sequence[str], pieces: Iterable[Piece]) -> None:
    """Prints texts one below the other: pieces of the one whose turn it is as they come, those of later ones are held.

    Args:
        begins: what stands before each text.
        pieces: of all texts, mixed.
    """
    print(visible(begins[0]), end="", flush=True)
    held: list[list[str]] = [[], *([begin] for begin in begins[1:])]
    ended, turn = [False] * len(begins), 0
    with _ending_the_line():
        for piece in pieces:
            held[piece.prompt].append(piece.text)
            ended[piece.prompt] = piece.last
            while turn < len(begins):
                print(visible("".join(held[turn])), end="", flush=True)
                held[turn].clear()
                if not ended[turn]:
                    break
                turn += 1
                print("\n" if turn < len(begins) else "", flush=True)


@contextlib.contextmanager
def _ending_the_line() -> Iterator[None]:
    """Where an error or Ctrl-C breaks a text off, its message gets a line of its own."""
    try:
        yield
    except (ZooError, KeyboardInterrupt):
        print(flush=True)
        raise
