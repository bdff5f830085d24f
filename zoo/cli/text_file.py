"""Texts from a file or from stdin, one a line or a field of JSONL; results as JSONL."""

from __future__ import annotations

import contextlib
import json
import math
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import IO, Annotated, Any

import typer

from zoo.cli.screen import note
from zoo.errors import NO_TEXTS, ConfigError, DataError, TextError, listed, quoted

File = Annotated[
    str | None,
    typer.Option(
        "--file", metavar="file", help="read from a file, a text a line (blank ones are left out) or .jsonl; - is stdin"
    ),
]
Field = Annotated[
    str | None,
    typer.Option(metavar="name", help="of .jsonl: the field with the text; where nobody says, as the argument"),
]
Output = Annotated[
    str | None,
    typer.Option(
        "--output",
        metavar="file",
        help="write JSON Lines into a new file, each with the line of its --file; - is stdout",
    ),
]


class Record(dict[str, str]):
    """Texts by the name of their field.

    Args:
        fields: the texts.
        line: where they stand in the file, from 1.
        unread: why the line has no texts, where it has none; the fields are then the whole line.
    """

    def __init__(self, fields: dict[str, str], line: int, unread: str = "") -> None:
        super().__init__(fields)
        self.line = line
        self.unread = unread


class Texts(list[str]):
    """Texts, and where each was read.

    Args:
        texts: they.
        file: its name; None: the command line.
        lines: of the file, one for each text.
        unread: why a line could not be read, by its number; it stands where its text would.
    """

    def __init__(
        self,
        texts: Iterable[str],
        file: str | None = None,
        lines: Sequence[int] = (),
        unread: Mapping[int, str] = MappingProxyType({}),
    ) -> None:
        super().__init__(texts)
        self._file, self._lines = file, lines
        self.unread = unread

    @classmethod
    def of(cls, records: Sequence[Record], field: str, file: str) -> Texts:
        """The texts that these records of a file have in a field."""
        unread = {number: record.unread for number, record in enumerate(records) if record.unread}
        return cls([record[field] for record in records], file, [record.line for record in records], unread)

    def place(self, number: int) -> dict[str, int]:
        """What the record of an answer says about where its text stands: its line in a file."""
        return {"line": self._lines[number]} if self._lines else {}

    def called(self, number: int) -> str:
        """Where a text stands, in words: its line of the file, or its place on the command line."""
        if self._lines:
            return f"{self._file}, line {self._lines[number]}"
        return f"text {number + 1} of {len(self)}" if len(self) > 1 else "the text"

    @contextlib.contextmanager
    def telling(self, number: int | None = None) -> Iterator[None]:
        """What is wrong with a text, or with the one of this number, is told with file and line, or as wrong use.

        Raises:
            DataError: of a file. ConfigError: a text of the command line cannot be taken.
        """
        try:
            yield
        except DataError as error:
            errors = [error, *error.others] if isinstance(error, TextError) else [TextError(str(error), number)]
            places = [0 if len(self) == 1 else number if one.number is None else one.number for one in errors]
            if None in places or not (self._lines or isinstance(error, TextError)):
                raise
            told = [
                f"{self.called(at)}: {one.reason}" if self._lines or len(self) > 1 else one.reason
                for one, at in zip(errors, places, strict=True)
                if at is not None
            ]
            message = told[0] if len(told) == 1 else listed(NO_TEXTS, told)
            raise (DataError if self._lines else ConfigError)(message) from None


def read_records(file: str, *fields: str, named: bool = False, skip: bool = False) -> list[Record]:
    """The texts of a file.

    Args:
        file: its name; one that ends in .jsonl has a JSON object a line; - is stdin, lines of text, or of JSON where
            the first line is an object.
        fields: names of the fields with texts; a line of text has the first only.
        named: whether somebody asked for the first by its name, which lines of text do not have.
        skip: whether a line without these fields is a record that says so, instead of an error.

    Raises:
        DataError: the file cannot be read, has no line, or lines lack a field, all of which are told.
    """
    try:
        text = sys.stdin.read() if file == "-" else Path(file).expanduser().read_text(encoding="utf-8")
    except OSError as error:
        raise DataError(f"cannot read {file}: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise DataError(
            f"cannot read {file}: it is not valid UTF-8 (byte 0x{error.object[error.start]:02x} at offset "
            f"{error.start}); convert it, for example: iconv -f latin1 -t utf-8 {file}"
        ) from None
    text = text.removeprefix("\ufeff")  # by which some editors begin a file in UTF-8: no part of the text
    lines = [(number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
    if not lines:
        raise DataError(f"{file} has no line with a text")
    if not file.endswith(".jsonl") and not (file == "-" and lines[0][1].startswith("{")):
        if len(fields) > 1:
            raise DataError(f"{file} has a text a line; for {' and '.join(fields)} it must be .jsonl")
        if named:
            raise ConfigError(
                f"{fields[0]!r} names a field of .jsonl, and {file} has a text a line; leave it out", "field"
            )
        return [Record({fields[0]: line.rstrip("\r")}, number) for number, line in lines]
    records = [_record(file, number, line, fields) for number, line in lines]
    told = [f"{file}, line {record.line}: {record.unread}" for record in records if record.unread]
    if told and not skip:
        raise DataError(told[0] if len(told) == 1 else listed(NO_TEXTS, told))
    return records


def _record(file: str, number: int, line: str, fields: tuple[str, ...]) -> Record:
    try:
        return Record(_fields(file, line, fields), number)
    except DataError as error:
        return Record(dict.fromkeys(fields, line), number, unread=str(error))


def _fields(file: str, line: str, fields: tuple[str, ...]) -> dict[str, str]:
    """The texts of a line of JSON; raises DataError where it lacks one."""
    try:
        content = json.loads(line)
    except (ValueError, RecursionError) as error:
        text = (
            "" if file != "-" else "; stdin is JSON where its first line begins with {, else write it into a .txt file"
        )
        raise DataError(f"no JSON ({error}){text}") from None
    if not isinstance(content, dict):
        raise DataError(f'a JSON object is wanted, {{"{fields[0]}": "…"}}')
    for field in fields:
        if field in content and not isinstance(content[field], str):
            raise DataError(f"field {field!r} is {quoted(content[field])}, not a text")
        if field not in content:
            known = ", ".join(map(quoted, content)) or "none"
            raise DataError(f"no text in field {field!r} (fields: {known})")
    return {field: content[field] for field in fields}


def texts_from(texts: list[str] | None, file: str | None, field: str | None, noun: str, *, skip: bool = False) -> Texts:
    """The texts of the command line, or of the file; raises ConfigError where both are given, or neither.

    The field of a .jsonl is called as `noun`, unless `field` says its name; `skip` is that of `read_records`.
    """
    if texts and file is not None:
        raise ConfigError(f"{file!r} beside a {noun} on the command line; give one of the two", "file")
    if file is not None:
        records = read_records(file, field or noun, named=field is not None, skip=skip)
        return Texts.of(records, field or noun, file)
    if field is not None:
        raise ConfigError(f"{field!r} names a field of a --file, of which there is none; leave it out", "field")
    if not texts:
        raise ConfigError(f"no {noun}: write one, or --file with many (- is stdin)")
    if texts == ["-"]:
        raise ConfigError(f"'-' is no {noun}; to read from stdin, write --file -")
    return Texts(texts)


def check_output(file: str | None) -> None:
    """Raises ConfigError where `json_lines` could not make the file, as far as one can see before any work is done."""
    if file not in (None, "-") and Path(file).expanduser().exists():
        raise ConfigError(f"{file} exists already; name a new file", "output")


@contextlib.contextmanager
def json_lines(file: str) -> Iterator[JsonLines]:
    """Where records go to: a new file, or stdout; raises ConfigError where the file exists or cannot be made."""
    if file == "-":
        yield JsonLines(sys.stdout)
        return
    path = Path(file).expanduser()
    try:
        stream = path.open("x", encoding="utf-8")
    except FileExistsError:
        raise ConfigError(f"{file} exists already; name a new file", "output") from None
    except OSError as error:
        raise ConfigError(f"{file} cannot be made: {error.strerror}", "output") from None
    with stream:
        lines = JsonLines(stream)
        try:
            yield lines
        except BaseException:
            if lines.count:
                note(f"note: {file} has what was done so far, {lines.count} lines")
            else:
                path.unlink(missing_ok=True)  # it would only be in the way of the next try
            raise
    note(f"note: wrote {file}, {lines.count} lines")


class JsonLines:
    """Writes a JSON object a line, each as soon as it is there.

    Args:
        stream: where to.
    """

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self.count = 0

    def write(self, record: dict[str, Any]) -> None:
        """One line; numbers that JSON has no word for (the logarithm of 0) become null."""
        print(json.dumps(_finite(record), ensure_ascii=False), file=self._stream, flush=True)
        self.count += 1


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(child) for name, child in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(child) for child in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
