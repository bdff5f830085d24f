"""`zoo chat`: a conversation with a model that was trained on conversations."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from zoo.cli.arguments import ModelFolder, Weights, Which, examples, whole_number
from zoo.cli.conversation import HELP, Conversation
from zoo.cli.decoding_options import check_options, with_decoding
from zoo.cli.opening import Device, Dtype, check_folder, open_model
from zoo.cli.screen import note
from zoo.cli.typed_line import typed_line
from zoo.errors import DataError
from zoo.spelling import named

EXAMPLES = examples(
    "# needs a model that was trained on conversations",
    "zoo chat my-chat-model",
    'zoo chat my-chat-model --system "Answer in one sentence." --temperature 0.7 --top-p 0.9',
    "zoo chat my-chat-model < questions.txt > answers.txt",
)
DECODING = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty", "seed", "stop")
"""The options of decoding that a conversation has."""
DRAWING = ("temperature", "top_k", "top_p", "min_p")
"""Those that only count where tokens are drawn."""


@with_decoding(*DECODING)
def run(
    folder: ModelFolder,
    system: Annotated[str, typer.Option(metavar="text", help="what the model is told before the conversation")] = "",
    max_new_tokens: Annotated[
        int | None,
        typer.Option(parser=whole_number, metavar="number", help="tokens of an answer at most; 512 where nobody says"),
    ] = None,
    *,
    decoding: dict[str, Any],
    weights: Weights = "raw",
    which: Which = "newest",
    device: Device = None,
    dtype: Dtype = None,
) -> None:
    """Talk with a model.

    The folder must say how it writes a conversation down: a chat_template.jinja, or a chat_template in its
    tokenizer_config.json. Greedy unless a temperature is given. Ctrl-C stops an answer, which stays as far as it came,
    and at the prompt drops the line; a second one, /quit or the end of the input ends. /help lists what else there is.
    A file on stdin is a message a line; the exit status is 1 where one of them could not be answered.
    """
    check_folder(folder)
    check_options(decoding, max_new_tokens)
    model = open_model(folder, which, weights, device, dtype)
    first = [{"role": "system", "content": system}] if system else []
    conversation = Conversation(model, first, {"max_new_tokens": max_new_tokens, **decoding})
    conversation.check()
    if suggested := maker_suggests(model.conventions.suggestions, decoding):
        values = ", ".join(f"{name}={value}" for name, value in suggested.items())
        typed = " ".join(named(name, value) for name, value in suggested.items())
        note(f"note: the model's maker suggests {values}, which nothing applies unasked; to take that: {typed}")
    is_typed = sys.stdin.isatty()
    if is_typed:
        note(f"{HELP}; Ctrl-C stops an answer, Ctrl-D ends")
    conversation.hold(typed_line, lambda piece: print(piece, end="", flush=True), patient=is_typed)
    if conversation.refused and not is_typed:
        raise DataError(f"{conversation.refused} of {conversation.lines} lines could not be answered")


def maker_suggests(suggestions: Mapping[str, Any] | None, given: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a conversation that a model's maker suggests, as far as nobody has decided them.

    Args:
        suggestions: of a folder, by transformers' names.
        given: the options that somebody gave; with a temperature, how tokens are drawn is decided.
    """
    from zoo.interop.suggestions import SUGGESTIONS

    said = suggestions or {}
    found = {name: said[name] for name in DECODING if name in said and said[name] not in SUGGESTIONS[name].idle}
    draws = said.get("do_sample", any(name in found for name in DRAWING))
    if draws and "temperature" not in given:
        found = {"temperature": said.get("temperature", 1.0), **found}
    else:
        found = {name: value for name, value in found.items() if name not in DRAWING}
    return {name: value for name, value in found.items() if name not in given}
