"""Tables as text, one document a row: CSV as in RFC 4180 (cells may be quoted, and then hold line breaks), and TSV.

Read by Python's own csv module, strictly: a stray quote or a row of another width is an error, not a guess.
"""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Iterator
from pathlib import Path

from zoo.config import setting
from zoo.data.columns import check_column
from zoo.data.files import PACKED, content_fingerprint, content_size, find_files, lines
from zoo.data.sources import PATH, SourceConfig, check_path, fingerprint_of
from zoo.errors import ConfigError, DataError

_LARGEST_CELL = 1 << 28
"""Characters of a cell at most. Where a quote is never closed, the rest of the file would be one cell."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class CsvConfig(SourceConfig, kind="csv"):
    """Tables as text, a document a row. In a folder: .csv and .tsv, also with .gz or .zst behind.

    Blank lines are skipped; an empty cell is an empty document.
    """

    path: str = setting(doc=PATH)
    column: str = setting("text", "the column that holds the text")
    columns: tuple[str, ...] | None = setting(
        None, "names of the columns of files that do not name them; null: the first line of each file does"
    )
    delimiter: str | None = setting(None, "the character between cells; null: a comma, in .tsv files a tab")

    def validate(self) -> None:
        """The path must not be empty, the names must be distinct and among them the column's."""
        check_path(self.path)
        if self.delimiter is not None and (len(self.delimiter) != 1 or self.delimiter in '"\r\n\0'):
            raise ConfigError(
                f"{self.delimiter!r} must be one character, and neither a quote nor a line break "
                '(a tab on the command line: delimiter="\\t")',
                "delimiter",
            )
        if self.columns is not None:
            try:
                check_column(self.column, self.columns, "the table")
            except DataError as error:
                raise ConfigError(str(error), "column") from None

    def documents(self) -> Iterator[str]:
        """The cells of the column, file by file."""
        for file in self._files():
            yield from self._cells(file)

    def fingerprint(self) -> str:
        """See `SourceConfig.fingerprint`."""
        files = self._files()
        delimiters = [self._delimiter(file) for file in files]
        return fingerprint_of(self.kind, self.column, self.columns, delimiters, content_fingerprint(files))

    def size(self) -> int:
        """Bytes of the files, unpacked; the text itself is less where there are other columns."""
        return content_size(self._files())

    def _files(self) -> list[Path]:
        return find_files(self.path, [".csv", ".tsv"])

    def _delimiter(self, file: Path) -> str:
        if self.delimiter is not None:
            return self.delimiter
        name = file.name.lower()
        return "\t" if name.endswith((".tsv", *(f".tsv{behind}" for behind in PACKED))) else ","

    def _cells(self, file: Path) -> Iterator[str]:
        delimiter = self._delimiter(file)
        rows = _rows(file, delimiter)
        names = self.columns
        if names is None:
            _, first = next(rows, (0, []))
            if not first:
                raise DataError(f"{file} is empty: its first line must name the columns")
            names = tuple(first)
        try:
            check_column(self.column, names, f"{file}, line 1:" if self.columns is None else str(file))
        except DataError as error:
            raise DataError(f"{error}; cells end at {delimiter!r} (data.source.delimiter)") from None
        index = names.index(self.column)
        for line, row in rows:
            if len(row) != len(names):
                raise DataError(
                    f"{file}, line {line}: has {len(row)} cells, but the table has {len(names)} columns "
                    f"({', '.join(map(repr, names))}); a cell that holds the delimiter must be quoted, and "
                    "data.source.delimiter says what it is"
                )
            yield row[index]


def _rows(file: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """The rows of a file, each with the number of the line that it begins on; blank lines are left out."""
    csv.field_size_limit(max(csv.field_size_limit(), _LARGEST_CELL))  # the module has one limit for the whole process
    reader = csv.reader((line for _, line in lines(file)), delimiter=delimiter, strict=True)
    while True:
        begins = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(f"{file}, line {begins}: {error}; is a quote not closed, or not doubled?") from None
        if row:
            yield begins, row
