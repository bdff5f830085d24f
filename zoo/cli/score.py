"""`zoo score`: how likely texts are to a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from zoo.cli.arguments import ModelFolder, Weights, Which, examples
from zoo.cli.left_out import SkipInvalid, Taken, chosen, take
from zoo.cli.opening import Device, Dtype, check_folder, open_model
from zoo.cli.screen import table
from zoo.cli.text_file import Field, File, Output, Texts, check_output, json_lines, read_records, texts_from
from zoo.errors import ConfigError

if TYPE_CHECKING:
    from zoo.generation.score import TextScore

EXAMPLES = examples(
    'zoo score runs/gpt-nano "Return the length of the list." "List the of length the return."',
    'zoo score runs/gpt-nano "Return the length of" --continuation " the list."',
    'zoo score runs/t5-nano "Return the <extra_id_0> of a list." --continuation "<extra_id_0> length"',
    "# needs pairs.jsonl",
    "zoo score runs/gpt-nano --file pairs.jsonl --field question --continuation-field answer --output scores.jsonl",
)
SHOWN_CHARACTERS = 120
"""Of a text in a table, at most; the whole is in the lines of --output."""


def run(
    folder: ModelFolder,
    text: Annotated[
        list[str] | None, typer.Argument(metavar="text", help="what is scored, or what a --continuation stands behind")
    ] = None,
    continuation: Annotated[str | None, typer.Option(metavar="text", help="score only this, behind the text")] = None,
    file: File = None,
    field: Field = None,
    continuation_field: Annotated[
        str | None, typer.Option(metavar="name", help="of .jsonl: the field with the continuation, which is scored")
    ] = None,
    output: Output = None,
    weights: Weights = "raw",
    which: Which = "newest",
    skip_invalid: SkipInvalid = False,
    device: Device = None,
    dtype: Dtype = None,
) -> None:
    """Say how likely texts are.

    The log-likelihood of each text in total (natural logarithm), its mean over tokens, the perplexity, and bits per
    byte, which compares models with different tokenizers. A token that is partly of a --continuation counts to it, with
    all its bytes. The first token of a decoder's (GPT) text is scored only where the tokenizer puts one before a text.
    An encoder's (BERT) is the pseudo-log-likelihood: each token is named from all others. An
    encoder-decoder (T5) scores a continuation only. With --output, a line of JSON for each text, with the
    log-probability of every token.
    """
    check_folder(folder)
    texts, behind = _texts(text, continuation, file, field, continuation_field, skip=skip_invalid)
    check_output(output)
    model = open_model(folder, which, weights, device, dtype)
    if model.config.kind == "encoder_decoder" and behind is None:
        raise ConfigError(
            "is missing: an encoder-decoder scores it behind the text that it reads; of a --file, "
            "--continuation-field names it",
            "continuation",
        )
    taken = take(
        texts,
        skip_invalid,
        lambda numbers: model.score(chosen(texts, numbers), None if behind is None else chosen(behind, numbers)),
    )
    if output is None:
        _show(texts, behind, taken, is_pseudo=model.config.kind == "encoder")
        return
    scores = dict(zip(taken.numbers, taken.found, strict=True))
    with json_lines(output) as lines:
        for number, before in enumerate(texts):
            given = {"text": before} if behind is None else {"text": before, "continuation": behind[number]}
            record = {**texts.place(number), **given}
            if number in taken.left_out:
                lines.write({**record, "error": taken.left_out[number]})
            else:
                score = scores[number]
                pieces = [model.tokenizer.token(token) for token in score.tokens]
                tokens = {"tokens": score.tokens, "pieces": pieces, "log_probabilities": score.log_probabilities}
                lines.write({**record, **_numbers(score), **tokens})


def _show(texts: Texts, behind: list[str] | None, taken: Taken[list[TextScore]], *, is_pseudo: bool) -> None:
    rows = [
        (
            *(() if behind is None else (_shown(texts[number]),)),
            _shown(score.text),
            len(score.tokens),
            *_numbers(score).values(),
        )
        for number, score in zip(taken.numbers, taken.found, strict=True)
    ]
    names = ("tokens", "total", "mean", "perplexity", "bits per byte")
    title = "each token named from all others (pseudo-log-likelihood)\n" if is_pseudo else ""
    table(title, (*(() if behind is None else ("behind",)), "text", *names), rows)


def _texts(
    text: list[str] | None,
    continuation: str | None,
    file: str | None,
    field: str | None,
    continuation_field: str | None,
    *,
    skip: bool,
) -> tuple[Texts, list[str] | None]:
    """What is read, and what is scored behind it; None: what is read is scored."""
    if continuation_field is not None:
        if file is None or continuation is not None:
            raise ConfigError(
                f"{continuation_field!r} names a field of a --file, of which there is none, or one "
                "text is a --continuation",
                "continuation_field",
            )
        field = field or "text"
        records = read_records(file, field, continuation_field, skip=skip)
        return Texts.of(records, field, file), [record[continuation_field] for record in records]
    texts = texts_from(text, file, field, "text", skip=skip)
    return texts, None if continuation is None else [continuation] * len(texts)


def _numbers(score: TextScore) -> dict[str, float | None]:
    """The numbers of a score; None where nothing was scored."""
    if not score.tokens:
        return {"total": 0.0, "mean": None, "perplexity": None, "bits_per_byte": None}
    return {
        "total": score.total,
        "mean": score.mean,
        "perplexity": score.perplexity,
        "bits_per_byte": score.bits_per_byte if score.num_bytes else None,
    }


def _shown(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[: SHOWN_CHARACTERS - 1]}…"
