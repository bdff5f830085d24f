"""`zoo chat`: a conversation with a model that was trained on conversations."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoo.cli import decoding_options as options
from zoo.cli.arguments import ModelFolder, Weights, Which, examples, whole_number
from zoo.cli.opening import Device, Dtype, check_folder, open_model
from zoo.cli.screen import note, visible
from zoo.errors import DataError

if TYPE_CHECKING:
    from zoo.pretrained import Pretrained

EXAMPLES = examples(
    "zoo chat my-chat-model",
    'zoo chat my-chat-model --system "Answer in one sentence." --temperature 0.7 --top-p 0.9',
)
DECODING = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty", "seed", "stop")
"""The options of decoding that a conversation has."""
ANSWER_TOKENS = 512
"""Tokens of an answer where nobody says, or fewer where learned positions run out."""
HELP = "Ctrl-C stops an answer; /reset begins anew, /quit ends"


def run(
    context: typer.Context,
    folder: ModelFolder,
    system: Annotated[str, typer.Option(metavar="text", help="what the model is told before the conversation")] = "",
    max_new_tokens: Annotated[
        int | None,
        typer.Option(parser=whole_number, metavar="number", help="tokens of an answer at most; 512 where nobody says"),
    ] = None,
    temperature: options.Temperature = None,
    top_k: options.TopK = None,
    top_p: options.TopP = None,
    min_p: options.MinP = None,
    repetition_penalty: options.RepetitionPenalty = None,
    seed: options.Seed = None,
    stop: options.Stop = None,
    weights: Weights = "raw",
    which: Which = "newest",
    device: Device = None,
    dtype: Dtype = None,
) -> None:
    """Talk with a model.

    The folder must say how it writes a conversation down: a chat_template.jinja, or a chat_template in its
    tokenizer_config.json. Ctrl-C stops an answer, which stays as far as it came; /reset begins the conversation anew;
    /quit, the end of the input, or Ctrl-C at the prompt ends it.
    """
    check_folder(folder)
    model = open_model(folder, which, weights, device, dtype)
    decoding = {"max_new_tokens": max_new_tokens, **options.given_options(context, DECODING)}
    first = [{"role": "system", "content": system}] if system else []
    model.conversation([*first, {"role": "user", "content": "?"}])  # a folder without a template says so at once
    if sys.stdin.isatty():
        note(HELP)
    Conversation(model, first, decoding).hold(_ask, lambda piece: print(piece, end="", flush=True))


class Conversation:
    """What was said, and who goes on.

    Args:
        model: what answers.
        first: messages that stay when the conversation begins anew.
        decoding: options of `Pretrained.stream`.
    """

    def __init__(self, model: Pretrained, first: list[dict[str, str]], decoding: dict[str, Any]) -> None:
        from zoo.generation.kept import Kept

        self._model, self._first, self._decoding = model, first, decoding
        self._kept = Kept() if model.config.kind == "decoder" else None
        self.messages = list(first)

    def hold(self, ask: Callable[[], str], show: Callable[[str], None]) -> None:
        """Asks and answers until `ask` raises EOFError or gives /quit."""
        while True:
            try:
                said = ask()
            except EOFError:
                return
            if said.strip() == "/quit":
                return
            if said.strip() == "/reset":
                self.messages = list(self._first)
            elif re.fullmatch(r"/[a-z]+", said.strip()):
                note(f"no command {said.strip()}; {HELP}")
            elif said.strip():
                self.answer(said, show)

    def answer(self, said: str, show: Callable[[str], None]) -> None:
        """Shows what the model says to this, piece by piece, and keeps both; Ctrl-C stops it.

        What the model cannot take (a conversation that has become too long) is said on stderr and forgotten.
        """
        asked = [*self.messages, {"role": "user", "content": said}]
        try:
            prompt = self._model.conversation(asked)
            if self._decoding.get("max_new_tokens") is None:
                room = self._model.room(prompt)
                limit = ANSWER_TOKENS if room is None else min(ANSWER_TOKENS, room)
            else:
                limit = self._decoding["max_new_tokens"]
            pieces = self._model.stream(prompt, **{**self._decoding, "max_new_tokens": limit}, kept=self._kept)
        except DataError as error:
            note(f"error: {error}; /reset begins anew")
            return
        answer = ""
        try:
            for piece in pieces:
                answer += piece
                show(visible(piece))
        except KeyboardInterrupt:
            show(" …")
        show("\n")
        self.messages = [*asked, {"role": "assistant", "content": answer}]


def _ask() -> str:
    """A line of the person's; only a terminal is shown that it is awaited."""
    return input("> " if sys.stdin.isatty() else "")
