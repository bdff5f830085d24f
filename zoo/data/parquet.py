"""Parquet files, one document a row, read by pyarrow: of the whole table only the column that is asked for, and of
that only a batch of rows at a time.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from zoo.config import setting
from zoo.data.columns import INSTALL, check_column, column_texts, row_name
from zoo.data.files import content_fingerprint, find_files
from zoo.data.sources import SourceConfig, check_path, fingerprint_of
from zoo.errors import ConfigError, DataError

BATCH_ROWS = 256
"""Rows that are read at once."""
_BUFFER_BYTES = 1 << 20
"""Read ahead in a file. Without it pyarrow takes in the column of a whole row group, which may be all of the file."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ParquetConfig(SourceConfig, kind="parquet"):
    """Parquet files, a document a row. In a folder: .parquet. A missing value is an empty document."""

    path: str = setting(doc="a file, a folder (all .parquet files below it) or a glob")
    column: str = setting(
        "text", "the column that holds the text, or lists of texts: paragraphs, joined by blank lines"
    )

    def validate(self) -> None:
        """Neither the path nor the column may be empty."""
        check_path(self.path)
        if not self.column:
            raise ConfigError("must name a column", "column")

    def documents(self) -> Iterator[str]:
        """The values of the column, file by file."""
        for file in self._files():
            with _opened(file) as table:
                check_column(self.column, table.schema_arrow.names, f"{file}:")
                row = 0
                for batch in table.iter_batches(BATCH_ROWS, columns=[self.column], use_threads=False):
                    yield from column_texts(batch.column(0), functools.partial(row_name, str(file), row))
                    row += batch.num_rows

    def fingerprint(self) -> str:
        """See `SourceConfig.fingerprint`."""
        return fingerprint_of(self.kind, self.column, content_fingerprint(self._files()))

    def size(self) -> int:
        """Bytes of the column, unpacked, as the files' own tables of contents have it."""
        total = 0
        for file in self._files():
            with _opened(file) as table:
                for group in range(table.metadata.num_row_groups):
                    chunks = table.metadata.row_group(group)
                    columns = (chunks.column(index) for index in range(chunks.num_columns))
                    total += sum(
                        chunk.total_uncompressed_size
                        for chunk in columns
                        if f"{chunk.path_in_schema}.".startswith(f"{self.column}.")
                    )
        return total

    def _files(self) -> list[Path]:
        return find_files(self.path, [".parquet"], packed=False)


@contextlib.contextmanager
def _opened(file: Path) -> Iterator[Any]:
    """A Parquet file; whatever pyarrow finds wrong with it inside the block becomes a DataError that names it."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise DataError(f"Parquet is read by pyarrow, which is not installed: {INSTALL}") from None
    try:
        with parquet.ParquetFile(file, buffer_size=_BUFFER_BYTES, pre_buffer=False) as table:
            yield table
    except (OSError, pyarrow.ArrowException) as error:
        raise DataError(f"cannot read {file}: {' '.join(str(error).split())}") from None
