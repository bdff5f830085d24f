"""The command line of a recipe: key=value settings, --fresh and --help; an error is one sentence, as that of `zoo` is.

Not a recipe itself: each of them ends with a call of `run`.
"""

import sys
from typing import Protocol

from zoo.cli.failure import STOPPED, exit_status, sentence
from zoo.errors import ZooError

OPTIONS = "Options: --fresh moves an older run aside and starts anew; --help shows this."


class Recipe(Protocol):
    """The main function of a recipe."""

    def __call__(self, overrides: list[str], *, fresh: bool = False) -> object:
        """Runs it; `overrides` are settings over its config, `fresh` moves an older run aside."""


def run(main: Recipe, about: str | None) -> None:
    """Calls `main` with what the command line says; `about` is the page for --help."""
    arguments = sys.argv[1:]
    if {"--help", "-h"} & set(arguments):
        print((about or "").strip(), OPTIONS, sep="\n\n")
        return
    try:
        main([argument for argument in arguments if argument != "--fresh"], fresh="--fresh" in arguments)
    except (ZooError, KeyboardInterrupt) as error:
        status = exit_status(error)
        print(sentence(error) if status > STOPPED else f"error: {sentence(error)}", file=sys.stderr)
        sys.exit(status)
