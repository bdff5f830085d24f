"""What lies in a run folder, read as data: nothing in it is executed, and nothing outside it is opened.

    metrics.csv       the log; a run without it has no report
    config.yaml, environment.json, result.json, data.json, origin.json, samples.jsonl, evaluation/step-N.json
                      where they are

A run that is still going, or was killed, is read as far as it came. What is damaged is left out with a remark, which
the report shows.
"""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from zoo.checkpoint.disk import nearest_folder
from zoo.config_text import read_yaml
from zoo.errors import CheckpointError, ConfigError
from zoo.quantity import duration, short_number

LOG_NAME = "metrics.csv"
MOST_BYTES = 64 << 20
"""Of a file of samples or facts; a longer one is none of ours."""
MOST_SAMPLES = 400
"""Of the newest samples that are kept."""
CLOCKS = {"steps": "step", "tokens": "tokens", "time": "seconds"}
"""What a curve may run against: axis → column of the log."""


class Log(NamedTuple):
    """metrics.csv by column.

    Attributes:
        columns: name → (n,) numbers, NaN where a row says nothing.
        damaged: how many lines were no rows.
    """

    columns: dict[str, np.ndarray]
    damaged: int

    def points(self, name: str) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """({axis: (m,)}, (m,)) of the rows that have a finite number there; none where there is no such column."""
        values = self.columns.get(name, np.zeros(0))
        kept = np.isfinite(values)
        axes = {axis: self.columns[column] for axis, column in CLOCKS.items() if column in self.columns}
        return {axis: numbers[kept] if len(values) else values for axis, numbers in axes.items()}, values[kept]

    def last(self, name: str) -> float | None:
        """The last number of a column."""
        values = self.points(name)[1]
        return float(values[-1]) if len(values) else None


class Sample(NamedTuple):
    """What the model made of a prompt.

    Attributes:
        step: after which. prompt: what it was given. output: what it wrote.
        truth: what stands there in the text; None: that is not known.
    """

    step: int
    prompt: str
    output: str
    truth: str | None = None


class Positions(NamedTuple):
    """The loss of one evaluation by place in a document.

    Attributes:
        step: after which.
        curves: objective → ((m,) places, counted from 1, (m,) losses).
    """

    step: int
    curves: dict[str, tuple[np.ndarray, np.ndarray]]


class Run(NamedTuple):
    """A run, as far as its folder tells.

    Attributes:
        folder: where it is. name: of the run, or of the folder.
        log: its metrics.
        config: the resolved config as plain data, {} where it cannot be read. config_text: config.yaml as it is.
        environment, result, text, origin: environment.json, result.json, data.json, origin.json; {} where one is not.
        samples: newest last. by_position: of each evaluation that has it, newest last.
        remarks: what could not be read.
    """

    folder: Path
    name: str
    log: Log
    config: dict[str, Any]
    config_text: str
    environment: dict[str, Any]
    result: dict[str, Any]
    text: dict[str, Any]
    origin: dict[str, Any]
    samples: list[Sample]
    by_position: list[Positions]
    remarks: list[str]

    @property
    def is_finished(self) -> bool:
        """Whether it came to its end."""
        return bool(self.result)

    @property
    def steps(self) -> int:
        """Of its last row."""
        return int(self.log.columns["step"][-1])

    @property
    def state(self) -> str:
        """How far it came, in words."""
        if self.is_finished:
            return f"finished after {self.steps:,} steps"
        wanted = self.config.get("trainer")
        of = wanted.get("max_steps") if isinstance(wanted, dict) else None
        return f"unfinished: step {self.steps:,}" + (f" of {of:,}" if isinstance(of, int) else "")

    @property
    def amount(self) -> str:
        """Tokens and time, in words."""
        tokens, seconds = self.log.last("tokens"), self.log.last("seconds")
        words = [f"{short_number(tokens)} tokens"] if tokens else []
        return " in ".join([*words, *([duration(seconds)] if seconds else [])])

    @property
    def objectives(self) -> dict[str, dict[str, Any]]:
        """Settings of each objective by name."""
        found = self.config.get("objectives")
        return {name: each for name, each in found.items() if isinstance(each, dict)} if isinstance(found, dict) else {}


def read_run(folder: Path) -> Run:
    """Everything that a report needs of a run folder.

    Raises:
        CheckpointError: there is no such folder, or no row of a log in it.
    """
    if not folder.is_dir():
        what = "a file" if folder.exists() else f"missing{nearest_folder(folder)}"
        raise CheckpointError(f"{folder} is {what}; name a run folder (runs/…)")
    log = read_log(folder / LOG_NAME)
    remarks = [f"metrics.csv: {log.damaged} damaged line(s) left out"] if log.damaged else []
    reader = _Reader(folder, remarks)
    config, text = reader.config()
    name = config.get("name")
    return Run(
        folder=folder,
        name=folder.name if not isinstance(name, str) or name != folder.name else name,
        log=log,
        config=config,
        config_text=text,
        environment=reader.mapping("environment.json"),
        result=reader.mapping("result.json"),
        text=reader.mapping("data.json"),
        origin=reader.mapping("origin.json"),
        samples=reader.samples(),
        by_position=reader.by_position(),
        remarks=remarks,
    )


def read_log(path: Path) -> Log:
    """A log by column; lines that are no rows are left out and counted.

    Raises:
        CheckpointError: there is no such file, it is no log of ours, or it has no row yet.
    """
    if not path.is_file():
        inside = ", ".join(sorted(entry.name for entry in path.parent.iterdir())[:8]) or "nothing"
        raise CheckpointError(
            f"no {path.name} in {path.parent}: it is no run folder, or its run has logged nothing yet (found: {inside})"
        )
    with path.open(encoding="utf-8", errors="replace") as file:
        header = next(csv.reader([file.readline()]), [])
        if not header or header[0] != "step":
            raise CheckpointError(f"{path} is no log of a run: its first column must be step, not {header[:1]}")
        # No cell of a row needs quotes, and a quote that something else left there must not swallow the lines after it.
        rows = [_numbers(line.strip().split(","), len(header)) for line in file]
    found = [row for row in rows if row is not None]
    if not found:
        raise CheckpointError(f"{path} has no row yet; try again after the first steps of the run")
    table = np.array(sorted(found, key=lambda numbers: numbers[0]))
    return Log({name: table[:, index] for index, name in enumerate(header)}, len(rows) - len(found))


def _numbers(row: list[str], width: int) -> list[float] | None:
    """The numbers of a row, NaN for blanks; None where it is no row."""
    try:
        numbers = [float(cell) if cell else math.nan for cell in row]
    except ValueError:
        return None
    return numbers if len(numbers) == width and math.isfinite(numbers[0]) else None


class _Reader:
    """Reads the files of a run folder that may be missing or damaged.

    Args:
        folder: the run folder.
        remarks: gets a line for each file that is there and cannot be read.
    """

    def __init__(self, folder: Path, remarks: list[str]) -> None:
        self._folder, self._remarks = folder, remarks

    def config(self) -> tuple[dict[str, Any], str]:
        """The resolved config, as plain data and as it is written."""
        path = self._folder / "config.yaml"
        if not path.is_file():
            self._remarks.append("config.yaml is missing: what the run was is not known")
            return {}, ""
        text = path.read_text(encoding="utf-8", errors="replace")
        try:
            return read_yaml(path).settings, text
        except ConfigError as error:
            self._remarks.append(f"config.yaml cannot be read: {error}")
            return {}, text

    def mapping(self, name: str) -> dict[str, Any]:
        """A JSON file that holds names and values."""
        found = self._json(self._folder / name)
        if found is not None and not isinstance(found, dict):
            self._remarks.append(f"{name} is damaged: it holds no names and values")
        return found if isinstance(found, dict) else {}

    def samples(self) -> list[Sample]:
        """The newest samples."""
        path = self._folder / "samples.jsonl"
        # Only a line feed ends a line of JSON; a text may hold other characters that end one.
        lines = [line for line in self._text(path).split("\n") if line] if path.is_file() else []
        found = list(self._each(lines, lambda line: _sample(json.loads(line)), path.name))
        return found[-MOST_SAMPLES:]

    def by_position(self) -> list[Positions]:
        """Loss by position of the evaluations that have it."""
        found = []
        for path in (self._folder / "evaluation").glob("step-*.json"):
            step = re.fullmatch(r"step-([0-9]{1,18})\.json", path.name)
            content = self._json(path)
            if step and isinstance(content, dict) and content.get("by_position"):
                read = self._each([content["by_position"]], _curves, f"evaluation/{path.name}")
                found += [Positions(int(step[1]), curves) for curves in read]
        return sorted(found, key=lambda each: each.step)

    def _json(self, path: Path) -> Any:
        if not path.is_file():
            return None
        try:
            return json.loads(self._text(path))
        except (ValueError, RecursionError):
            self._remarks.append(f"{path.relative_to(self._folder)} is damaged: it is no JSON")
            return None

    def _text(self, path: Path) -> str:
        if path.stat().st_size > MOST_BYTES:
            self._remarks.append(f"{path.name} has more than {MOST_BYTES >> 20} MB and was left out")
            return ""
        return path.read_text(encoding="utf-8", errors="replace")

    def _each(self, items: list[Any], read: Callable[[Any], Any], name: str) -> Iterator[Any]:
        """What becomes of each item; those that cannot be read are counted in a remark."""
        damaged = 0
        for item in items:
            try:
                yield read(item)
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                damaged += 1
        if damaged:
            self._remarks.append(f"{name}: {damaged} damaged line(s) left out")


def _sample(row: dict[str, Any]) -> Sample:
    truth = row.get("truth")
    return Sample(int(row["step"]), str(row["prompt"]), str(row["output"]), None if truth is None else str(truth))


def _curves(content: dict[str, list[dict[str, float]]]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Places and losses of each objective; the loss of a stretch of places stands at its middle."""
    curves = {}
    for name, stretches in content.items():
        pairs = [((one["start"] + one["stop"] + 1) / 2, one["loss"]) for one in stretches]
        places, losses = np.array(pairs, dtype=float).reshape(-1, 2).T
        kept = np.isfinite(losses)
        curves[str(name)] = places[kept], losses[kept]
    return curves
