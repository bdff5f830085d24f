"""Files that only grow, and a journal beside them of the places up to which they are whole.

    tokens.bin, …      appended to, part by part
    journal.jsonl      a line for each finished shard: what each file gained, its SHA-256, and where its maker stood

A line is written when what it speaks of is safe on disk. Whoever comes after a kill, a full disk or a power cut finds
the last shard that is as its line says, cuts off whatever is behind it, and goes on from there; in the end the files
are, byte for byte, what they would be without the interruption. So is the journal, which may stay where it is.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

FILE_NAME = "journal.jsonl"
_BLOCK_BYTES = 1 << 20


class GrowingFiles:
    """Files of one folder, opened where their journal left them.

    Args:
        folder: where they are; it may be empty, or hold what an interrupted maker left.
        names: of the files; others in the folder are removed.

    Attributes:
        state: what the maker said of the last finished shard; None: there is none.
        num_shards: finished shards.
    """

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self.folder, self.names = folder, tuple(names)
        self.state: dict[str, Any] | None = None
        self.num_shards = 0
        self._open = ExitStack()
        self._files: dict[str, BinaryIO] = {}
        self._journal: BinaryIO
        self._parts = {name: hashlib.sha256() for name in names}
        self._sizes = dict.fromkeys(names, 0)
        self._gained = dict.fromkeys(names, 0)

    def __enter__(self) -> GrowingFiles:
        for path in self.folder.iterdir():
            if path.name not in (*self.names, FILE_NAME):
                path.unlink()
        for name in self.names:
            self._files[name] = self._open.enter_context((self.folder / name).open("a+b"))
        self._journal = self._open.enter_context((self.folder / FILE_NAME).open("a+b"))
        self._journal.truncate(self._verify())
        for name, file in self._files.items():
            file.truncate(self._sizes[name])
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()

    def append(self, name: str, content: bytes) -> None:
        """Puts `content` behind what the file `name` has."""
        self._files[name].write(content)
        self._parts[name].update(content)
        self._gained[name] += len(content)

    def finish_shard(self, state: dict[str, Any]) -> None:
        """Notes that everything up to here is whole, and where the maker stands."""
        for file in self._files.values():
            file.flush()
            os.fsync(file.fileno())
        line = {
            "files": {name: [self._gained[name], self._parts[name].hexdigest()] for name in self.names},
            "state": state,
        }
        self._journal.write(f"{json.dumps(line)}\n".encode())
        self._journal.flush()
        os.fsync(self._journal.fileno())
        self._take_in(line)

    def _take_in(self, line: dict[str, Any]) -> None:
        for name, (gained, _) in line["files"].items():
            self._sizes[name] += gained
        self._parts = {name: hashlib.sha256() for name in self.names}
        self._gained = dict.fromkeys(self.names, 0)
        self.state = line["state"]
        self.num_shards += 1

    def _verify(self) -> int:
        """Takes in the lines up to the first that is torn, or that the files do not bear out; returns their bytes."""
        verified = 0
        self._journal.seek(0)
        for text in self._journal:
            try:
                line = json.loads(text)
                parts = [line["files"][name] for name in self.names]
            except (ValueError, KeyError, TypeError):
                break  # torn by a kill
            if not text.endswith(b"\n") or not self._are_there(parts):
                break
            self._take_in(line)
            verified += len(text)
        return verified

    def _are_there(self, parts: Iterable[tuple[int, str]]) -> bool:
        return all(
            _digest(self._files[name], self._sizes[name], size) == digest
            for name, (size, digest) in zip(self.names, parts, strict=True)
        )


def _digest(file: BinaryIO, start: int, size: int) -> str:
    digest = hashlib.sha256()
    file.seek(start)
    while size > 0 and (block := file.read(min(size, _BLOCK_BYTES))):
        digest.update(block)
        size -= len(block)
    return digest.hexdigest()
