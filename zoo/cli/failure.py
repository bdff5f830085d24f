"""From an exception to a sentence and an exit status.

2    wrong use: what was typed, an option, a setting or a text
1    failed: what was read, a text of a file, a checkpoint, a file, training, or a mistake of ours
128 + signal    stopped: 130 for Ctrl-C, 143 for SIGTERM
"""

from __future__ import annotations

import re
import signal

import typer

from zoo.errors import ConfigError, ZooError

WRONG_USE = 2
FAILED = 1
STOPPED = 128
OPTIONS_ELSEWHERE = {"--max-tokens": "--max-new-tokens", "--max_tokens": "--max-new-tokens"}
"""Options that others have → what they are called here."""
BROKEN_PIPE = STOPPED + 13
"""What a shell reports of a program whose reader went away (`| head`)."""


def sentence(error: BaseException) -> str:
    """What went wrong, on one line; where several things did, each on an indented line below it."""
    if isinstance(error, KeyboardInterrupt):
        return "stopped by Ctrl-C"
    if isinstance(error, ZooError):
        return "\n".join(_one_line(part) for part in re.split(r"\n(?=  )", str(error)))
    if isinstance(error, typer.TyperException):
        text = f"{error.format_message().rstrip('.')}{_what_to_write(error)}; see --help"
    elif isinstance(error, OSError) and error.strerror:
        text = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    else:
        text = f"{type(error).__name__}: {error} (unexpected; --debug shows where)"
    return _one_line(text)


def _one_line(text: str) -> str:
    """The same words, behind the spaces that the text begins with."""
    return text[: len(text) - len(text.lstrip(" "))] + " ".join(text.split())


def _what_to_write(error: typer.TyperException) -> str:
    """What a wrong option was meant as, or what a missing argument is; "" where neither is known."""
    option, told = getattr(error, "option_name", ""), getattr(getattr(error, "param", None), "help", None)
    verb = getattr(getattr(error, "ctx", None), "command", None)
    taken = getattr(verb, "params", [])
    here = OPTIONS_ELSEWHERE.get(option)
    if any(here in one.opts for one in taken):
        return f"; write {here}"
    if option.startswith("--") and "." in option and any("key=value" in (one.metavar or "") for one in taken):
        return f"; it is a setting, which has no dashes: write {option[2:].partition('=')[0]}=…"
    if hasattr(error, "param_type") and told:  # of a missing argument alone
        return f": {told}"
    return ""


def exit_status(error: BaseException) -> int:
    """The exit status that an error stands for."""
    if isinstance(error, KeyboardInterrupt):
        return STOPPED + signal.SIGINT
    if isinstance(error, ConfigError | typer.TyperException):
        return WRONG_USE
    stopped_by = getattr(error, "signal_number", None)
    return STOPPED + stopped_by if isinstance(error, ZooError) and stopped_by else FAILED
