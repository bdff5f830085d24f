"""The edge between zoo and the `tokenizers` library: whatever goes wrong behind it comes out as a DataError.

The library is written in Rust. Its ordinary failures are plain `Exception`s, but a panic in it (a crafted
tokenizer.json can cause one, tokenizers issue 2094) is a `BaseException`, which an `except Exception` lets through.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from zoo.errors import ZooError

_NOT_OURS = (KeyboardInterrupt, SystemExit, GeneratorExit, MemoryError)


@contextmanager
def guarded(doing: str, raises: type[ZooError]) -> Iterator[None]:
    """Turns any failure of the library inside the block into `raises("cannot <doing>: <reason>")`."""
    try:
        yield
    except (ZooError, *_NOT_OURS):
        raise
    except BaseException as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise raises(f"cannot {doing}: {reason}") from None
