"""Texts from a file or from stdin, one a line or a field of JSONL; results as JSONL."""

from __future__ import annotations

import contextlib
import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Annotated, Any

import typer

from zoo.errors import ConfigError, DataError

File = Annotated[
    str | None,
    typer.Option("--file", metavar="file", help="read from a file instead, a text a line or .jsonl; - is stdin"),
]
Field = Annotated[str, typer.Option(metavar="name", help="of .jsonl: the field with the text")]
Output = Annotated[
    str | None, typer.Option("--output", metavar="file", help="write JSON Lines into a new file; - is stdout")
]


def read_records(file: str, *fields: str) -> list[dict[str, str]]:
    """The texts of a file.

    Args:
        file: its name; one that ends in .jsonl has a JSON object a line; - is stdin, lines of text, or of JSON where
            the first line is an object.
        fields: names of the fields with texts; a line of text has the first only.

    Raises:
        DataError: the file cannot be read, has no line, or a line lacks a field.
    """
    try:
        text = sys.stdin.read() if file == "-" else Path(file).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {file}: {getattr(error, 'strerror', None) or error}") from None
    lines = [line for line in text.split("\n") if line.strip()]
    if not lines:
        raise DataError(f"{file} has no line with a text")
    if not file.endswith(".jsonl") and not (file == "-" and lines[0].startswith("{")):
        if len(fields) > 1:
            raise DataError(f"{file} has a text a line; for {' and '.join(fields)} it must be .jsonl")
        return [{fields[0]: line.rstrip("\r")} for line in lines]
    return [_record(file, number, line, fields) for number, line in enumerate(lines, start=1)]


def _record(file: str, number: int, line: str, fields: tuple[str, ...]) -> dict[str, str]:
    try:
        content = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file}, line {number}: no JSON ({error})") from None
    if not isinstance(content, dict):
        raise DataError(f'{file}, line {number}: a JSON object is wanted, {{"{fields[0]}": "…"}}')
    for field in fields:
        if not isinstance(content.get(field), str):
            known = ", ".join(map(str, content)) or "none"
            raise DataError(f"{file}, line {number}: no text in field {field!r} (fields: {known})")
    return {field: content[field] for field in fields}


def texts_from(texts: list[str] | None, file: str | None, field: str, noun: str) -> list[str]:
    """The texts of the command line, or of the file; raises ConfigError where both are given, or neither."""
    if texts and file is not None:
        raise ConfigError(f"{file!r} beside a {noun} on the command line; give one of the two", "file")
    if file is not None:
        return [record[field] for record in read_records(file, field)]
    if not texts:
        raise ConfigError(f"no {noun}: write one, or --file with many (- is stdin)")
    return texts


@contextlib.contextmanager
def json_lines(file: str) -> Iterator[JsonLines]:
    """Where records go to: a new file, or stdout; raises ConfigError where the file exists or cannot be made."""
    if file == "-":
        yield JsonLines(sys.stdout)
        return
    try:
        stream = Path(file).expanduser().open("x", encoding="utf-8")
    except FileExistsError:
        raise ConfigError(f"{file} exists already; name a new file", "output") from None
    except OSError as error:
        raise ConfigError(f"{file} cannot be made: {error.strerror}", "output") from None
    with stream:
        yield JsonLines(stream)


class JsonLines:
    """Writes a JSON object a line, each as soon as it is there.

    Args:
        stream: where to.
    """

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def write(self, record: dict[str, Any]) -> None:
        """One line; numbers that JSON has no word for (the logarithm of 0) become null."""
        print(json.dumps(_finite(record), ensure_ascii=False), file=self._stream, flush=True)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(child) for name, child in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(child) for child in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
