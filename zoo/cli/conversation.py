"""A conversation with a model: what was said, the commands among it, and who goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from zoo.cli.screen import note, visible
from zoo.errors import DataError, LengthError

if TYPE_CHECKING:
    from zoo.pretrained import Pretrained

ANSWER_TOKENS = 512
"""Tokens of an answer where nobody says, or fewer where learned positions run out."""
HELP = "/help lists the commands"
COMMANDS = {
    "/help": "this list",
    "/reset": "begins the conversation anew; a system prompt stays",
    "/quit": "ends it, as Ctrl-D does at the prompt",
}
"""What a line may be instead of a message, in any case, → what it does."""
MORE_HELP = {
    "//…": "a message that begins with /",
    "Ctrl-C": "stops an answer, which stays as far as it came; drops a line that is being typed",
}
AGAIN = "Ctrl-C again, /quit or Ctrl-D ends"


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
        self.lines = 0
        self.refused = 0
        """How many lines were said that were no empty ones, and how many of them nobody could do anything with."""

    def check(self) -> None:
        """Raises what is wrong with the options, the template or the first messages, before anything is said."""
        self._pieces([*self._first, {"role": "user", "content": "?"}])

    def hold(self, ask: Callable[[], str], show: Callable[[str], None], *, patient: bool = False) -> None:
        """Asks and answers until `ask` raises EOFError or gives /quit.

        Args:
            ask: a line of the person's.
            show: a piece of an answer.
            patient: whether one Ctrl-C outside an answer only drops the line, and the next one ends.

        Raises:
            KeyboardInterrupt: the Ctrl-C that ends.
        """
        was_interrupted = False
        while True:
            try:
                said = ask()
                was_interrupted = False
                if not self._take(said, show):
                    return
            except EOFError:
                return
            except KeyboardInterrupt:
                if was_interrupted or not patient:
                    raise
                was_interrupted = True
                note(f"\n{AGAIN}")

    def _take(self, said: str, show: Callable[[str], None]) -> bool:
        """Does what a line says; whether the conversation goes on."""
        word = said.strip().casefold()
        self.lines += bool(word)
        if word == "/quit":
            return False
        if word == "/reset":
            self.messages = list(self._first)
        elif word == "/help":
            width = max(map(len, (*COMMANDS, *MORE_HELP)))
            note("\n".join(f"{name:<{width}}  {does}" for name, does in (COMMANDS | MORE_HELP).items()))
        elif word.startswith("/") and not word.startswith("//"):
            self.refused += 1
            note(f"no command {word.split()[0]}; {HELP}; a message that begins with / is written with two, //")
        elif word:
            self.answer(said.replace("//", "/", 1) if word.startswith("//") else said, show)
        return True

    def answer(self, said: str, show: Callable[[str], None]) -> None:
        """Shows what the model says to this, piece by piece, and keeps both; Ctrl-C stops it.

        What the model cannot take (a conversation that has become too long) is said on stderr and forgotten, and so is
        what it was stopped at before it had said anything.
        """
        asked = [*self.messages, {"role": "user", "content": said}]
        answer = ""
        try:
            for piece in self._pieces(asked):
                answer += piece
                show(visible(piece))
        except DataError as error:
            self.refused += 1
            note(f"error: {error}")
            return
        except KeyboardInterrupt:
            if not answer:
                note("\nstopped before the answer began; the message is forgotten")
                return
            show(" …")
        self.messages = [*asked, {"role": "assistant", "content": answer}]  # first: whatever comes, it was said
        show("\n")

    def _pieces(self, asked: list[dict[str, str]]) -> Iterator[str]:
        """The answer to these messages, piece by piece; raises DataError at once where the model cannot take them."""
        prompt = self._model.conversation(asked)
        what = _contents(asked)
        remedy = "/reset begins anew" if len(asked) > len(self._first) + 1 else "shorten it"
        try:
            room = self._model.room(prompt)
        except LengthError as error:
            raise DataError(
                f"{what} has {error.length} tokens and the model has {error.limit} learned positions; {remedy}"
            ) from None
        wanted = self._decoding.get("max_new_tokens")
        if wanted is not None and room is not None and wanted > room:
            raise DataError(
                f"{what} leaves room for an answer of {room} tokens, which --max-new-tokens {wanted} exceeds; {remedy}"
                ", or ask for fewer"
            )
        limit = wanted if wanted is not None else ANSWER_TOKENS if room is None else min(ANSWER_TOKENS, room)
        return self._model.stream(prompt, **{**self._decoding, "max_new_tokens": limit}, kept=self._kept)


def _contents(messages: list[dict[str, str]]) -> str:
    """What a conversation is made of, for an error about its length."""
    has_system = messages[0]["role"] == "system"
    count = len(messages) - has_system
    parts = [*(["system prompt"] if has_system else []), f"{count} message{'' if count == 1 else 's'}"]
    return f"the conversation ({', '.join(parts)})"
