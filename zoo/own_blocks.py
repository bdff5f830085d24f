"""Files of a user's own blocks: executed because a person named them, never because a config or a checkpoint does.

A file is Python that registers classes and entries (a positional scheme, a norm, an activation, …) where zoo registers
its own. It comes in by `--import my_blocks.py` on the command line or by `zoo.import_blocks("my_blocks.py")`, is
executed as a module of its own and known by the SHA-256 of its content from then on: runs and models record it, and a
process that this one starts refuses to execute anything else under that path.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import traceback
import types
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from zoo.errors import ConfigError
from zoo.registry import tables

VARIABLE = "ZOO_IMPORTS"
"""Environment variable that tells the processes which this one starts what was imported: JSON, path → SHA-256."""


class OwnBlocks(NamedTuple):
    """A file that was executed.

    Attributes:
        path: absolute.
        sha256: of its content, in hex.
        content: what was executed, whatever becomes of the file.
        registered: "noun name" of everything that it registered.
    """

    path: Path
    sha256: str
    content: bytes
    registered: tuple[str, ...]

    @property
    def record(self) -> dict[str, str]:
        """What runs and models keep of it."""
        return {"file": self.path.name, "sha256": self.sha256, "registered": ", ".join(self.registered)}


_EXECUTED: dict[str, OwnBlocks] = {}
"""By SHA-256, in the order of execution."""


def executed() -> list[OwnBlocks]:
    """Everything that this process has executed, in order."""
    return list(_EXECUTED.values())


def execute(path: str | Path, expected: str | None = None) -> OwnBlocks:
    """Executes a file of own blocks; one whose content was executed already is not executed again.

    Args:
        path: the file.
        expected: the SHA-256 that it must have; None: what a parent process has executed, where there is one.

    Raises:
        ConfigError: the file is missing, changed, broken, or registers nothing or something that is there already;
            then nothing of it stays registered.
    """
    path = Path(path).expanduser().resolve()
    content = _read(path)
    sha256 = hashlib.sha256(content).hexdigest()
    _check_unchanged(path, sha256, expected)
    if sha256 not in _EXECUTED:
        _EXECUTED[sha256] = OwnBlocks(path, sha256, content, _execute(path, sha256, content))
    os.environ[VARIABLE] = json.dumps(_told() | {str(path): sha256})
    return _EXECUTED[sha256]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot import {path}: {error.strerror}") from None


def _check_unchanged(path: Path, sha256: str, expected: str | None) -> None:
    if any(blocks.path == path and blocks.sha256 != sha256 for blocks in executed()):
        raise ConfigError(
            f"{path} was changed after this process had imported it; start a new process (in a notebook: restart it)"
        )
    expected = expected or _told().get(str(path), sha256)
    if sha256 != expected:
        raise ConfigError(
            f"{path} (sha256 {short(sha256)}) is not what the process that started this one had imported (sha256 "
            f"{short(expected)}): the file was changed in between"
        )


def _told() -> dict[str, str]:
    """What the variable says; raises ConfigError where somebody else has written it."""
    try:
        files = json.loads(os.environ.get(VARIABLE) or "{}")
    except ValueError:
        files = None
    if not isinstance(files, dict):
        raise ConfigError(f"the environment variable {VARIABLE} is not what zoo writes there; unset it")
    return files


def _execute(path: Path, sha256: str, content: bytes) -> tuple[str, ...]:
    """Runs the content as a module; takes back what it registered where it breaks off."""
    # A name that no import statement finds, and under which a worker process finds its own copy.
    module = types.ModuleType(f"zoo_import_{path.stem}_{short(sha256)}")
    module.__file__ = str(path)
    before = [(table, dict(table)) for _, table in tables()]
    sys.modules[module.__name__] = module
    try:
        exec(compile(content, str(path), "exec", dont_inherit=True), module.__dict__)
        registered = _new(before)
        if not registered:
            raise ConfigError(
                "registers nothing; a class joins a family by its kind, as in class MyConfig(NormConfig, kind='mine')"
            )
    except (Exception, SystemExit) as error:
        del sys.modules[module.__name__]
        for table, entries in before:
            table.clear()
            table.update(entries)
        raise ConfigError(f"{_place(path, error)}: {_words(error)}") from error
    return registered


def _new(before: Iterable[tuple[dict[str, object], dict[str, object]]]) -> tuple[str, ...]:
    known = {id(table): entries for table, entries in before}
    return tuple(f"{noun} {name}" for noun, table in tables() for name in table if name not in known.get(id(table), {}))


def _place(path: Path, error: BaseException) -> str:
    """The file and the line in it where it broke."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return f"{path}, line {error.lineno}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f"{path}, line {lines[-1]}" if lines else str(path)


def _words(error: BaseException) -> str:
    if isinstance(error, ConfigError):
        return str(error)
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


# ------------------------------------------------------------------------------------------------------------- records


def short(sha256: str) -> str:
    """The first digits of a hash, for people."""
    return sha256[:12]


def in_words(records: Iterable[dict[str, str]]) -> str:
    """Records as one writes them: "--import my_blocks.py (sha256 0123456789ab)"."""
    return " ".join(f"--import {record['file']} (sha256 {short(record['sha256'])})" for record in records)


def made_with(records: Iterable[dict[str, str]]) -> str:
    """The end of an error about something unknown: which files it was made with that are not imported now, or ""."""
    missing = [record for record in records if record["sha256"] not in _EXECUTED]
    return f"; it was made with {in_words(missing)}" if missing else ""


def replaced(records: Iterable[dict[str, str]]) -> str:
    """Which of the files something was made with have another in their place now, in words, or "".

    Another file is in the place of one that is not imported where it has its name, or registers something of the same
    name: what was made with the one would compute something else with the other. A file that is not imported at all
    is no part of what opens without it.
    """
    records = list(records)
    known = {record["sha256"] for record in records}
    others = [blocks for blocks in executed() if blocks.sha256 not in known]
    for record in records:
        names = {name for name in record.get("registered", "").split(", ") if name}
        for other in others:
            if record["sha256"] not in _EXECUTED and (other.path.name == record["file"] or names & {*other.registered}):
                return (
                    f"was made with {in_words([record])}; what is imported now is another file, {other.path} (sha256 "
                    f"{short(other.sha256)}): import the file as it was (a run keeps it in its folder imports/)"
                )
    return ""
