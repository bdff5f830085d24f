"""The manifest of a checkpoint folder: which files it has, their sizes and their SHA-256.

    {"format": "zoo-model", "version": 1, "files": {"model.safetensors": {"size": 123, "sha256": "…"}, …}}

Names are relative, with "/" between folders, made of letters, digits, "_", "-" and "." only, and no part opens with a
dot: no name can lead out of the folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from zoo.checkpoint.disk import disk_errors, open_plain, read_json
from zoo.errors import CheckpointError

MANIFEST_NAME = "manifest.json"
VERSION = 1
"""Version of the folder's layout; a folder of a newer version is refused."""

MAX_MANIFEST_BYTES = 4 << 20
MAX_FILES = 10_000
MAX_DEPTH = 8
MAX_NAME = 255
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_LEFT_BY_SYSTEM = ".DS_Store"  # macOS puts it into each folder that is looked at; nothing here reads it


class FileRecord(NamedTuple):
    """What the manifest says about one file.

    Attributes:
        size: in bytes.
        sha256: of the content, as 64 lower-case hexadecimal digits.
    """

    size: int
    sha256: str


class Manifest(NamedTuple):
    """What a verified folder holds.

    Attributes:
        format: what kind of folder it is.
        version: of the folder's layout.
        files: by relative name, with "/" between folders; the manifest itself is not listed.
    """

    format: str
    version: int
    files: dict[str, FileRecord]

    def to_json(self) -> str:
        """The content of manifest.json."""
        files = {name: record._asdict() for name, record in sorted(self.files.items())}
        return json.dumps({"format": self.format, "version": self.version, "files": files}, indent=1) + "\n"


def read_manifest(folder: Path, format: str | None) -> Manifest:
    """The manifest of `folder`, itself checked, the files not yet; `format` None takes any.

    Raises:
        CheckpointError: no folder, no manifest, garbage, a newer version, another format, or a name that leads outside.
    """
    path = folder / MANIFEST_NAME
    if not folder.is_dir():
        raise CheckpointError(f"no checkpoint at {folder}: there is no such folder")
    if not os.path.lexists(path):
        raise CheckpointError(f"{folder} is no whole checkpoint: it has no {MANIFEST_NAME}; choose another folder")
    data = read_json(path, MAX_MANIFEST_BYTES)
    if not isinstance(data, dict) or not isinstance(data.get("format"), str) or type(data.get("version")) is not int:
        raise _damaged(path, "it names no format and version")
    if data["version"] > VERSION:
        raise CheckpointError(
            f"{path} has version {data['version']}, this zoo reads up to version {VERSION}; upgrade transformer-zoo"
        )
    if format is not None and data["format"] != format:
        raise CheckpointError(f"{folder} is a {data['format']!r} folder, not {format!r}; choose another folder")
    if data["version"] < 1 or set(data) != {"format", "version", "files"} or not isinstance(data["files"], dict):
        raise _damaged(path, "it must hold a format, a version and files, and nothing else")
    return Manifest(
        data["format"], data["version"], {name: _record(path, name, row) for name, row in data["files"].items()}
    )


def _record(path: Path, name: str, row: Any) -> FileRecord:
    if not legal_name(name):
        raise CheckpointError(
            f"{path} lists the file {name!r}, which is no plain name inside the folder; do not use it"
        )
    if not isinstance(row, dict) or set(row) != {"size", "sha256"} or type(row["size"]) is not int or row["size"] < 0:
        raise _damaged(path, f"its entry for {name} must be a size and a sha256")
    if not isinstance(row["sha256"], str) or not _SHA256.fullmatch(row["sha256"]):
        raise _damaged(path, f"its entry for {name} has no SHA-256")
    return FileRecord(row["size"], row["sha256"])


def _damaged(path: Path, reason: str) -> CheckpointError:
    return CheckpointError(f"{path} is damaged: {reason}; use another checkpoint")


def legal_name(name: str) -> bool:
    """Whether a relative name, with "/" between folders, stays inside its folder on every system."""
    parts = name.split("/")
    return len(parts) <= MAX_DEPTH and all(len(part) <= MAX_NAME and _PART.fullmatch(part) for part in parts)


def scan(folder: Path) -> dict[str, int]:
    """Sizes in bytes of all files below `folder`, by relative name, the manifest of `folder` itself left out.

    Raises:
        CheckpointError: a link, a pipe, a device, an empty folder, a name that no checkpoint has, too many files.
    """
    sizes: dict[str, int] = {}
    with disk_errors(f"read the folder {folder}"):
        _scan(folder, "", sizes)
    sizes.pop(MANIFEST_NAME, None)
    return sizes


def _scan(folder: Path, prefix: str, sizes: dict[str, int]) -> None:
    with os.scandir(folder) as entries:
        found = [entry for entry in entries if not (entry.name == _LEFT_BY_SYSTEM and not entry.is_symlink())]
    if prefix and not found:
        raise CheckpointError(f"{folder} is an empty folder, which a checkpoint has no use for; remove it")
    for entry in found:
        name = f"{prefix}{entry.name}"
        if not legal_name(name):
            raise CheckpointError(f"{entry.name!r} in {folder} is no name of a checkpoint's file; remove it")
        if entry.is_symlink():
            raise CheckpointError(f"{entry.path} is a symbolic link; a checkpoint holds plain files only")
        if entry.is_dir(follow_symlinks=False):
            _scan(folder / entry.name, f"{name}/", sizes)
        elif entry.is_file(follow_symlinks=False):
            sizes[name] = entry.stat(follow_symlinks=False).st_size
        else:
            raise CheckpointError(f"{entry.path} is not a plain file; a checkpoint holds plain files only")
        if len(sizes) > MAX_FILES:
            raise CheckpointError(f"{folder} has more than {MAX_FILES:,} files: it is no checkpoint")


def hash_file(path: Path) -> str:
    """SHA-256 of a plain file's content, in hexadecimal."""
    with open_plain(path) as file, disk_errors(f"read {path}"):
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_files(folder: Path, manifest: Manifest, contents: bool, later: Collection[str] = ()) -> None:
    """Compares what is in `folder` with its manifest; raises CheckpointError that names every file that differs.

    Args:
        folder: to look into.
        manifest: of the folder.
        contents: whether to read and hash the files too, or to look at names and sizes only.
        later: names of files that the caller hashes when it reads them; here, names and sizes are enough for them.
    """
    sizes = scan(folder)
    faults = [f"{name} is missing" for name in manifest.files if name not in sizes]
    faults += [f"{name} is not in the manifest" for name in sizes if name not in manifest.files]
    for name, record in manifest.files.items():
        if name in sizes and sizes[name] != record.size:
            faults.append(f"{name} has {sizes[name]:,} bytes instead of {record.size:,}")
    if not faults and contents:
        names = sorted({*manifest.files}.difference(later))
        with ThreadPoolExecutor(max_workers=4) as pool:  # hashing frees the interpreter
            found = list(pool.map(lambda name: hash_file(folder / name), names))
        faults = [
            other_content(name, digest, manifest.files[name].sha256)
            for name, digest in zip(names, found, strict=True)
            if digest != manifest.files[name].sha256
        ]
    if faults:
        raise damaged_folder(folder, faults)


def other_content(name: str, found: str, expected: str) -> str:
    """The fault of a file whose SHA-256 is not that of its manifest."""
    return f"{name} has another content than when it was written (SHA-256 {found[:8]}… instead of {expected[:8]}…)"


def damaged_folder(folder: Path, faults: list[str]) -> CheckpointError:
    """The error about a folder with these faults."""
    more = f"; and {len(faults) - 5} more" if len(faults) > 5 else ""
    return CheckpointError(f"{folder} is damaged: {'; '.join(faults[:5])}{more}; use another checkpoint or a copy")
