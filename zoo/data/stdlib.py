"""A corpus that every Python brings along: documentation and source of the running standard library. No download.

Docs are the language reference's topics (those behind `help("for")`) and the docstrings of every module; code is the
source of every module. Modules are read and parsed, never imported. Tests, their fixtures, bundled third-party wheels
and machine-made tables are left out. The text depends on the Python version; the fingerprint says so.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import hashlib
import io
import json
import sysconfig
import tokenize
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from zoo.config import setting
from zoo.data.files import content_fingerprint
from zoo.data.sources import SourceConfig
from zoo.errors import ConfigError, DataError

_LEFT_OUT_FOLDERS = {
    "test",
    "tests",
    "idlelib",
    "lib2to3",
    "site-packages",
    "dist-packages",
    "__pycache__",
    "_bundled",
    "lib-dynload",
    "pydoc_data",
    "encodings",
}
_LEFT_OUT_FILES = ("_sysconfigdata", "_sysconfig_vars", "sitecustomize", "usercustomize")
_TOPICS = ("pydoc_data", "topics.py")
_FORMAT = "1"
"""Goes up when the same files give other documents."""


class _Module(NamedTuple):
    name: str  # dotted
    source: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class StdlibConfig(SourceConfig, kind="stdlib"):
    """Documentation and source of the running Python's standard library: a few MB of English, some 10 MB of code."""

    parts: tuple[Literal["docs", "code"], ...] = setting(
        ("docs",), "docs (topics and docstrings), code (source), or both"
    )

    def validate(self) -> None:
        """Each part at most once, and at least one."""
        if not self.parts or len(set(self.parts)) < len(self.parts):
            raise ConfigError(f"{list(self.parts)} must name docs, code, or each once", "parts")

    def documents(self) -> Iterator[str]:
        """The documents of each part in turn: topics by name, then a document for each module, by dotted name."""
        for part in self.parts:
            yield from _docs() if part == "docs" else (module.source for module in _modules() if module.source)

    def fingerprint(self) -> str:
        """SHA-256 of the parts and of every file that they are made of."""
        topics = [file for file in (_library().joinpath(*_TOPICS),) if file.is_file()]
        names = [file.relative_to(_library()).as_posix() for file in _files()]
        content = content_fingerprint([*topics, *_files()])
        return hashlib.sha256(json.dumps([self.kind, _FORMAT, self.parts, names, content]).encode()).hexdigest()

    def size(self) -> int:
        """Characters of all documents."""
        return sum(map(len, self.documents()))


@functools.cache
def _library() -> Path:
    return Path(sysconfig.get_paths()["stdlib"])


@functools.cache
def _files() -> tuple[Path, ...]:
    library, kept = _library(), []
    for file in library.rglob("*.py"):
        inside = file.relative_to(library)
        if not _LEFT_OUT_FOLDERS & set(inside.parts[:-1]) and not inside.name.startswith(_LEFT_OUT_FILES):
            kept.append(file)
    if not kept:
        raise DataError(
            f"this Python has no source of its standard library at {library}; name another data.source.kind"
        )
    return tuple(sorted(kept, key=lambda file: file.relative_to(library).parts))


@functools.cache
def _modules() -> tuple[_Module, ...]:
    """Every module's source; kept, because each pass over the documents needs them."""
    modules = []
    for file in _files():
        parts = file.relative_to(_library()).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)
        modules.append(_Module(name, _source(file)))
    return tuple(sorted(modules))


def _source(file: Path) -> str:
    content = file.read_bytes()
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(content).readline)
        return content.decode(encoding).replace("\r\n", "\n")
    except (SyntaxError, UnicodeDecodeError):
        return ""  # a deliberately broken file, of which some versions ship a few


@functools.cache
def _docs() -> tuple[str, ...]:
    documented = (_docstrings(module) for module in _modules())
    return (*_topics(), *(document for document in documented if document))


def _topics() -> list[str]:
    """The reference's topics; [] on the distributions that leave them out."""
    file = _library().joinpath(*_TOPICS)
    if not file.is_file():
        return []
    for statement in ast.parse(_source(file)).body:
        if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Dict):
            topics: dict[str, str] = ast.literal_eval(statement.value)
            return [f"{name}\n\n{text.strip()}\n" for name, text in sorted(topics.items())]
    return []


def _docstrings(module: _Module) -> str:
    """All docstrings of a module, each under its dotted name, in the order of the source; "" where it has none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # old escapes in other people's source are no news to our users
            tree = ast.parse(module.source)
    except (SyntaxError, ValueError):
        return ""
    texts: list[str] = []

    def visit(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef, name: str) -> None:
        text = ast.get_docstring(node)
        if text:
            texts.append(f"{name}\n\n{text}\n")
        for child in node.body:
            if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                visit(child, f"{name}.{child.name}")

    visit(tree, module.name)
    return "\n".join(texts)
