"""From run folders to report files."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

from zoo.checkpoint.disk import replace_file
from zoo.errors import CheckpointError, ConfigError, ZooError
from zoo.own_blocks import made_with
from zoo.report.attention import attention_of
from zoo.report.folder import LOG_NAME, Run, read_run
from zoo.report.page import Pictures, comparison_page, run_page

REPORT_NAME = "report.html"
HURRY_BYTES = 2 << 30
"""Of weights that the end of a run still loads to draw its attention."""


def write_report(folder: Path, *, hurry: bool = False) -> tuple[Path, list[str]]:
    """Writes `report.html` into a run folder.

    Args:
        folder: of the run; it may still be going.
        hurry: leave out what a large model takes long for.

    Returns:
        The file, and what of the folder could not be read.

    Raises:
        CheckpointError: it is no run folder, it has no log, or the file cannot be written.
    """
    run = read_run(folder)
    path = folder / REPORT_NAME
    replace_file(path, run_page(run, _pictures(run, HURRY_BYTES if hurry else None)))
    return path, run.remarks


def write_report_or_warn(folder: Path) -> None:
    """Writes the report at the end of a run, which is what it is whatever becomes of its report.

    A run that stopped before its first row has none.
    """
    if not (folder / LOG_NAME).is_file():
        return
    try:
        path, _ = write_report(folder, hurry=True)
        print(f"report: {path}", file=sys.stderr)
    except Exception as error:
        warnings.warn(f"no report was written ({error}); zoo report {folder} tries it again", stacklevel=2)


def write_comparison(folders: Sequence[Path], path: Path) -> tuple[Path, list[str]]:
    """Writes a page that lays several runs over each other.

    Args:
        folders: run folders, each once. path: of the page.

    Returns:
        The file, and what of the folders could not be read.

    Raises:
        ConfigError: a folder is named twice. CheckpointError: see `write_report`.
    """
    runs = read_runs(folders)
    replace_file(path, comparison_page(runs, path.parent))
    return path, [f"{run.folder}: {remark}" for run in runs for remark in run.remarks]


def read_runs(folders: Sequence[Path]) -> list[Run]:
    """Several runs, each named once.

    Raises:
        ConfigError: a folder is named twice. CheckpointError: one is no run folder, or has no log.
    """
    resolved = [folder.resolve() for folder in folders]
    for number, folder in enumerate(resolved):
        if folder in resolved[:number]:
            raise ConfigError(f"{folders[number]} is named twice; a run is compared with other runs")
    return [read_run(folder) for folder in folders]


def _pictures(run: Run, most_bytes: int | None) -> Pictures:
    """The attention of the newest checkpoint, or why there is none: a report without it is a report."""
    excerpt = run.text.get("excerpt")
    if not isinstance(excerpt, list) or not excerpt or not all(isinstance(token, int) for token in excerpt):
        return Pictures((), "The run kept no text that its attention could be drawn on (data.json has no excerpt).")
    try:
        return Pictures(attention_of(run.folder, excerpt, most_bytes))
    except CheckpointError as error:
        return Pictures((), f"Not drawn: {error}.")
    except ZooError as error:
        imports = run.environment.get("imports")
        return Pictures((), f"Not drawn: {error}{made_with(imports) if isinstance(imports, list) and imports else ''}.")
