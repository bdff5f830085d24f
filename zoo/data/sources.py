"""Where documents come from: files of text and of JSON lines. Streams; nothing is held but the document at hand.

A new kind of source is one file with one `SourceConfig`, and its import line in `zoo.data.corpus`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from zoo.config import Config, setting
from zoo.data.files import content_fingerprint, content_size, find_files, lines, whole
from zoo.data.filter import FilterConfig, filtered, filtered_fingerprint
from zoo.errors import ConfigError, DataError
from zoo.registry import Choice

_DECODE = json.JSONDecoder().decode  # what json.loads comes to, in two thirds of its time on short lines
PATH = "a file, a folder (all fitting files below it) or a glob; .gz and .zst are unpacked on the fly"


@dataclasses.dataclass(frozen=True, kw_only=True)
class SourceConfig(Config, Choice, noun="source"):
    """Base of the kinds of source."""

    share: float | None = setting(
        None, "in a mixture: how much of the tokens this source gives, relative to the shares of the others", above=0
    )
    filter: FilterConfig = setting(FilterConfig(), "which documents are kept, and in which Unicode form")

    def documents(self) -> Iterator[str]:
        """The documents before the filter, in an order that does not change; empty ones may be among them.

        Raises DataError on a missing or damaged file, naming the place in it.
        """
        raise NotImplementedError

    def fingerprint(self) -> str:
        """SHA-256, in hex, of what decides the documents: content and settings, not names, places or times."""
        raise NotImplementedError

    def kept_documents(self) -> Iterator[str]:
        """The documents that the filter keeps, as it leaves them."""
        return filtered(self.filter, self.documents())

    def kept_fingerprint(self) -> str:
        """SHA-256, in hex, of what decides the documents that the filter keeps."""
        return filtered_fingerprint(self.filter, self.fingerprint())

    def size(self) -> int | None:
        """About how many characters all documents have, where that is known beforehand; guides a progress bar."""
        return None

    def by_name(self) -> dict[str, SourceConfig]:
        """The sources that this one stands for, each with a token store of its own; a single one has no name."""
        return {"": self}


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextConfig(SourceConfig, kind="text"):
    """Plain text in UTF-8. In a folder: .txt, .text, .md and .rst, also with .gz or .zst."""

    path: str = setting(doc=PATH)
    document: Literal["file", "line", "blank_line"] = setting(
        "file", "what a document is: a whole file, a line, or the lines between two blank ones"
    )
    document_start: str | None = setting(
        None,
        "a regular expression, with document=file: each line that it is found in begins the next document; "
        "WikiText's articles: '^ = [^=]'",
    )

    def validate(self) -> None:
        """The path must not be empty; documents begin in one way only."""
        check_path(self.path)
        if self.document_start is None:
            return
        if self.document != "file":
            raise ConfigError(
                f"{self.document_start!r} divides files and goes with document=file, not with {self.document!r}",
                "document_start",
            )
        try:
            re.compile(self.document_start)
        except re.error as error:
            raise ConfigError(f"{self.document_start!r} is no regular expression: {error}", "document_start") from None

    def documents(self) -> Iterator[str]:
        """The documents, file by file. A line's end does not belong to it; blank lines belong to no paragraph."""
        for file in self._files():
            if self.document_start is not None:
                yield from _begun_by(self.document_start, file)
            elif self.document == "file":
                yield whole(file)
            elif self.document == "line":
                yield from (line.rstrip("\r\n") for _, line in lines(file))
            else:
                yield from _paragraphs(file)

    def fingerprint(self) -> str:
        """See `SourceConfig.fingerprint`."""
        begins = [] if self.document_start is None else [self.document_start]
        return fingerprint_of(self.kind, self.document, *begins, content_fingerprint(self._files()))

    def size(self) -> int:
        """Bytes of the files, unpacked."""
        return content_size(self._files())

    def _files(self) -> list[Path]:
        return find_files(self.path, [".txt", ".text", ".md", ".rst"])


@dataclasses.dataclass(frozen=True, kw_only=True)
class JsonLinesConfig(SourceConfig, kind="jsonl"):
    """One JSON object a line, its text in one field. In a folder: .jsonl, .ndjson, .json, also with .gz or .zst."""

    path: str = setting(doc=PATH)
    field: str = setting("text", "the field that holds the text, or a list of texts: paragraphs, joined by blank lines")

    def validate(self) -> None:
        """Neither the path nor the field may be empty."""
        check_path(self.path)
        if not self.field:
            raise ConfigError("must name a field", "field")

    def documents(self) -> Iterator[str]:
        """The text of each line, file by file; lines of white space are skipped."""
        for file in self._files():
            for number, (_, line) in enumerate(lines(file), start=1):
                if not line.isspace():
                    yield self._text(line, f"{file}, line {number}")

    def fingerprint(self) -> str:
        """See `SourceConfig.fingerprint`."""
        return fingerprint_of(self.kind, self.field, content_fingerprint(self._files()))

    def size(self) -> int:
        """Bytes of the files, unpacked; the text itself is somewhat less."""
        return content_size(self._files())

    def _files(self) -> list[Path]:
        return find_files(self.path, [".jsonl", ".ndjson", ".json"])

    def _text(self, line: str, where: str) -> str:
        try:
            record: Any = _DECODE(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{where}: this is no JSON: {error}") from None
        if not isinstance(record, dict):
            raise DataError(f"{where}: must be a JSON object, not {type(record).__name__}")
        if self.field not in record:
            raise DataError(f"{where}: has no field {self.field!r} (fields: {', '.join(map(repr, record)) or 'none'})")
        value = record[self.field]
        if isinstance(value, list) and all(isinstance(part, str) for part in value):
            value = "\n\n".join(value)
        if not isinstance(value, str):
            raise DataError(f"{where}: field {self.field!r} must hold text or a list of texts, not {value!r:.60}")
        if "\\u" in line:  # only an escape can bring in half of a surrogate pair
            _check_surrogates(value, where)
        return value


def _begun_by(pattern: str, file: Path) -> Iterator[str]:
    """The documents of a file; what stands before the first line that begins one is a document too."""
    begins = re.compile(pattern).search
    document: list[str] = []
    for _, line in lines(file):
        if document and begins(line.rstrip("\r\n")):
            yield "".join(document)
            document = []
        document.append(line)
    if document:
        yield "".join(document)


def _paragraphs(file: Path) -> Iterator[str]:
    paragraph: list[str] = []
    for _, line in lines(file):
        if not line.isspace():
            paragraph.append(line)
        elif paragraph:
            yield "".join(paragraph).rstrip("\r\n")
            paragraph = []
    if paragraph:
        yield "".join(paragraph).rstrip("\r\n")


def check_path(path: str) -> None:
    """Raises ConfigError where a path is empty."""
    if not path.strip():
        raise ConfigError("must name a file, a folder or a glob", "path")


def _check_surrogates(text: str, where: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"{where}: character {error.start} is half of a surrogate pair, which no text can hold"
        ) from None


def fingerprint_of(*parts: object) -> str:
    """SHA-256, in hex, of plain values: settings and fingerprints of content."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
