"""The log that is always written: `metrics.csv`, one row an event, blank where an event has nothing to say.

A continued run first drops the rows past the step it continues from, so there is neither a gap nor a duplicate.
"""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path

from zoo.checkpoint.disk import disk_errors, replace_file
from zoo.errors import CheckpointError


class MetricsFile:
    """Appends rows to a CSV file with fixed columns.

    Args:
        path: the file.
        columns: its columns; the first must be "step".
        after_step: rows of later steps are dropped when the file is opened.

    Raises:
        CheckpointError: from here and from every method: the file cannot be written.
    """

    def __init__(self, path: Path, columns: list[str], after_step: int) -> None:
        assert columns[0] == "step"
        self.path = path
        self.columns = columns
        kept = [row for row in read_metrics(path) if float(row["step"]) <= after_step] if path.exists() else []
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, columns, restval="", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(kept)
        replace_file(path, text.getvalue())
        with disk_errors(f"write {path}"):
            self._file = path.open("a", newline="", encoding="utf-8")
        self._writer = csv.DictWriter(self._file, columns, restval="")

    def write(self, row: dict[str, float]) -> None:
        """Appends one row, at once on disk as far as this process can see to it."""
        with disk_errors(f"write {self.path}"):
            self._writer.writerow({name: _spell(value) for name, value in row.items()})
            self._file.flush()

    def sync(self) -> None:
        """Returns when everything written is on the disk, for a power cut too."""
        with disk_errors(f"write {self.path}"):
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Closes the file."""
        with disk_errors(f"write {self.path}"):  # what did not fit before is tried once more here
            self._file.close()


def as_written(row: dict[str, float]) -> dict[str, float]:
    """The numbers of a row as whoever reads the file gets them: floats have six digits."""
    return {name: float(_spell(value)) for name, value in row.items()}


def _spell(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.6g}"


def read_metrics(path: Path) -> list[dict[str, str]]:
    """All whole rows of the file as text by column; a line torn by a kill is left out."""
    if not path.exists():
        raise CheckpointError(f"no metrics at {path}; is this a run folder?")
    with path.open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        return [row for row in rows if row["step"] and None not in row.values() and None not in row]


def read_numbers(path: Path) -> list[dict[str, float]]:
    """All whole rows of the file as numbers by column, blanks left out."""
    return [{name: float(text) for name, text in row.items() if text} for row in read_metrics(path)]
