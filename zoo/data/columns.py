"""The column of a table that holds the text: found by its name, and read out of Arrow's tables batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from zoo.errors import DataError
from zoo.registry import unknown_name

INSTALL = "pip install '.[datasets]' in the clone"
"""What brings the libraries that read Parquet and data sets of the hub."""
COLUMN = "the column that holds the text, or lists of texts: paragraphs, joined by blank lines"


def check_column(column: str, names: Sequence[str], where: str) -> None:
    """Raises DataError, which begins with `where`, unless the columns' `names` hold `column` exactly once."""
    if column not in names:
        raise DataError(f"{where} {unknown_name('column', column, dict.fromkeys(names))}")
    if list(names).count(column) > 1:
        raise DataError(f"{where} column {column!r} is there {list(names).count(column)} times; rename the others")


def column_texts(values: Any, where: Callable[[int], str]) -> Iterator[str]:
    """The documents in a column of text, or of lists of texts (paragraphs, joined by blank lines).

    A missing value is an empty document, which the token store leaves out and counts.

    Args:
        values: a pyarrow array, or a chunked one.
        where: says which row of which file the n-th value is, for errors.

    Raises:
        DataError: the column holds something else, or bytes that are not UTF-8.
    """
    kind = values.type
    if not _holds_text(kind):
        raise DataError(f"{where(0)}: the column must hold text or lists of texts, not {kind}")
    try:
        found = values.to_pylist()
    except UnicodeDecodeError:
        for number, value in enumerate(values):
            try:
                value.as_py()
            except UnicodeDecodeError as error:
                raise DataError(f"{where(number)}: is not valid UTF-8 ({error.reason})") from None
        raise
    for value in found:
        if isinstance(value, list):
            yield "\n\n".join(part for part in value if part is not None)
        else:
            yield value or ""


def row_name(table: str, before: int, number: int) -> str:
    """How errors call the n-th value of a batch that has `before` rows of its table before it."""
    return f"{table}, row {before + number + 1}"


def _holds_text(kind: Any) -> bool:
    """Whether an Arrow type is text, a dictionary of texts, a list of texts, or nothing at all."""
    import pyarrow

    types = pyarrow.types
    if types.is_dictionary(kind) or types.is_list(kind) or types.is_large_list(kind):
        return _is_text(kind.value_type)
    return _is_text(kind) or bool(types.is_null(kind))


def _is_text(kind: Any) -> bool:
    import pyarrow

    types = pyarrow.types
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))
