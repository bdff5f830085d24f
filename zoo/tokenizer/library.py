"""The edge between zoo and the `tokenizers` library: whatever goes wrong behind it comes out as a DataError.

The library is written in Rust. Its ordinary failures are plain `Exception`s, but a panic in it (a crafted
tokenizer.json can cause one, tokenizers issue 2094) is a `BaseException`, which an `except Exception` lets through.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import tokenizers
from numpy.typing import NDArray

from zoo.errors import DataError, ZooError

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


def check_text(text: str) -> None:
    """Raises DataError where a text holds a surrogate, as bytes that are no UTF-8 become: no library can take it."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"the text is no valid Unicode: a lone surrogate (U+{ord(text[error.start]):04X}) stands at character "
            f"{error.start}, perhaps a byte that was not UTF-8; write the text in UTF-8"
        ) from None


def opened(definition: str) -> tokenizers.Tokenizer:
    """The library's tokenizer from the text of a tokenizer.json, which may not cut texts short or pad them."""
    with guarded("read the tokenizer", DataError):
        library = tokenizers.Tokenizer.from_str(definition)
        # A file may ask for truncation or padding; a corpus would be cut short without a word.
        library.no_truncation()
        library.no_padding()
    return library


def ids_of(encoding: tokenizers.Encoding) -> NDArray[np.int64]:
    """(n,) the ids of what the library has encoded."""
    # fromiter with a known length: half the time of np.array on a list of ints
    return np.fromiter(encoding.ids, dtype=np.int64, count=len(encoding))
