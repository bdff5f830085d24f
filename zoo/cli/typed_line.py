"""A line that a person types: edited with the arrow keys, brought back from before, and free of control characters."""

from __future__ import annotations

import contextlib
import re
import sys

from zoo.cli.screen import note
from zoo.errors import DataError

CONTROL = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|O.)?"  # a key that was not understood, as an arrow, with all that stands for it
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f]"  # of C0, DEL and C1 all but the tab and the line break
)


def typed_line() -> str:
    """The next line of stdin; only a terminal is shown that it is awaited.

    Raises:
        EOFError: there is none. DataError: stdin is no UTF-8.
    """
    waits = sys.stdin.isatty()
    if waits and sys.stdout.isatty():
        with contextlib.suppress(ImportError):  # Python without it, as on Windows: its terminal edits lines itself
            import readline  # noqa: F401  (from then on `input` edits lines; its history ends with the process)
    elif waits:
        sys.stderr.write("> ")  # stdout is somebody else's to read
        sys.stderr.flush()
    try:
        line = input("> " if waits and sys.stdout.isatty() else "")
        line.encode()  # Python hands bytes that are no UTF-8 on as lone surrogates, or raises, as the locale has it
        return without_control(line)
    except UnicodeDecodeError as error:
        raise DataError(f"stdin is not valid UTF-8 (byte 0x{error.object[error.start]:02x})") from None
    except UnicodeEncodeError as error:
        raise DataError(f"stdin is not valid UTF-8 (byte 0x{ord(line[error.start]) & 0xFF:02x})") from None
    except EOFError:
        if waits:
            note("")  # the shell's prompt gets a line of its own
        raise


def without_control(line: str) -> str:
    """A line without its control characters, which a model would take for text; a note says that there were some."""
    found = CONTROL.findall(line)
    if found:
        one = ascii(found[0])
        note(
            f"note: left out {'a control character' if len(found) == 1 else f'{len(found)} control characters'}, {one}"
        )
    return CONTROL.sub("", line)
