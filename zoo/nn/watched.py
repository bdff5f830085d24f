"""Whether operations are being taken down, for a graph that torch compiles or for a recording that is done again.

What looks at numbers, to refuse a wrong one, has no place there: it would be done once and never again, or break the
graph. It was done for the calls before.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch

_RECORDING: ContextVar[bool] = ContextVar("recording", default=False)


def is_watched() -> bool:
    """Whether torch compiles what is called now, or a recording is made of it."""
    return torch.compiler.is_compiling() or _RECORDING.get()


@contextmanager
def recording() -> Iterator[None]:
    """Inside, `is_watched` is true."""
    token = _RECORDING.set(True)
    try:
        yield
    finally:
        _RECORDING.reset(token)
