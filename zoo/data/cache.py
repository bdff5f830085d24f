"""Folders in a cache that are either whole or absent.

A folder is built beside its final place, synced to disk and renamed there, so that a kill at any moment leaves nothing
half. A manifest, written last, holds the size and the SHA-256 of each file, block by block; opening checks them. A lock
lets one process build while others wait for the result; should the file system know no locks, they build side by side
and the first to rename wins. A build that knows how to go on with what it finds is given its old folder again.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from zoo.errors import DataError

BLOCK_BYTES = 1 << 24
"""Bytes under one SHA-256 of the manifest: 16 MiB."""
WHOLE_CHECK_BYTES = 1 << 30
"""Files up to this size are checked whole at each opening: one second for each GiB. Of larger ones a sample is."""
SAMPLED_BLOCKS = 32
_MANIFEST = "manifest.json"
_log = logging.getLogger(__name__)


class BuildStopped(DataError):  # noqa: N818  (what is built may be in order)
    """A build was cut short by something that is no fault of what it is made from; what it finished is kept."""


def find_or_build(folder: Path, what: str, build: Callable[[Path], None], resumable: bool = False) -> Path:
    """`folder`, whole and checked; built where it is absent, built again (with a warning) where it is damaged.

    Args:
        folder: its final place; the name must say everything that decides the content (a fingerprint).
        what: the content in a word or two, for messages.
        build: writes the content into the folder that it is given.
        resumable: whether the folder holds what an earlier build left that was cut short (a kill, Ctrl-C, a full disk,
            BuildStopped, but no other DataError); False: it is empty.

    Raises:
        DataError: the cache cannot be written; whatever `build` raises.
    """
    if _is_whole(folder, what):
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _locked(folder.parent / f".{folder.name}.lock", what) as alone:
            if not _is_whole(folder, what, quiet=True):
                _build(folder, build, alone, resumable)
    except OSError as error:
        raise DataError(_unwritable(folder.parent, what, error, resumable)) from None
    return folder


def check_folder(folder: Path, what: str) -> None:
    """Raises DataError, saying which file and why, unless every file is as the manifest has it."""
    again = f"delete {folder} and it is built again"
    try:
        manifest = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
        files: dict[str, dict[str, Any]] = manifest["files"]
        if manifest["seal"] != _seal(files):
            raise ValueError("its seal is broken")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"the {what} in {folder} is damaged: {_MANIFEST}: {error}; {again}") from None
    for name, entry in files.items():
        path = folder / name
        try:
            size = path.stat().st_size
            if size != entry["size"]:
                raise ValueError(f"it has {size} bytes and should have {entry['size']}")
            _check_blocks(path, entry["sha256"])
        except (OSError, ValueError) as error:
            raise DataError(f"the {what} in {folder} is damaged: {name}: {error}; {again}") from None


def _is_whole(folder: Path, what: str, quiet: bool = False) -> bool:
    if not folder.is_dir():
        return False
    try:
        check_folder(folder, what)
    except DataError as error:
        if not quiet:
            _log.warning("%s; building it again now", str(error).rsplit(";", 1)[0])
        return False
    return True


def _unwritable(cache: Path, what: str, error: OSError, resumable: bool) -> str:
    elsewhere = "name another folder with data.cache or $ZOO_CACHE"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        kept = "; what is finished is kept, and the same command goes on from there" if resumable else ""
        return f"the disk of the cache {cache} is full ({error}): free some space for the {what}, or {elsewhere}{kept}"
    return f"cannot write the {what} to the cache {cache}: {error}; {elsewhere}"


def _build(folder: Path, build: Callable[[Path], None], alone: bool, resumable: bool) -> None:
    with _building(folder, alone, resumable) as place:
        build(place)
        _write_manifest(place)
        for path in [*place.iterdir(), place]:
            _sync(path)
        _move(place, folder)
        _sync(folder.parent)


@contextmanager
def _building(folder: Path, alone: bool, resumable: bool) -> Iterator[Path]:
    """Where to build; gone when the block ends, unless a resumable build was cut short."""
    prefix = f".{folder.name}.building-"
    place = folder.parent / f"{prefix}kept"
    if alone:  # whatever others began and did not finish, they are gone
        for left in folder.parent.glob(f"{prefix}*"):
            if not (resumable and left == place):
                shutil.rmtree(left, ignore_errors=True)
    if resumable and alone:
        place.mkdir(mode=0o700, exist_ok=True)
    else:
        place = Path(tempfile.mkdtemp(prefix=prefix, dir=folder.parent))
    try:
        yield place
    except BaseException as error:
        wrong = isinstance(error, DataError) and not isinstance(error, BuildStopped)
        if wrong or not (resumable and alone):
            shutil.rmtree(place, ignore_errors=True)
        raise
    shutil.rmtree(place, ignore_errors=True)  # another process was first


def _move(place: Path, folder: Path) -> None:
    place.chmod(0o755)  # mkdtemp's folders are for their owner only; a cache may be shared
    try:
        place.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise
        try:
            check_folder(folder, "folder")  # another process was first: theirs is as good
        except DataError:
            with tempfile.TemporaryDirectory(prefix=f".{folder.name}.damaged-", dir=folder.parent) as aside:
                folder.rename(Path(aside, folder.name))
                place.rename(folder)


@contextmanager
def _locked(path: Path, what: str) -> Iterator[bool]:
    """Holds the lock `path`; waits for it. Yields False where the file system has no locks. A kill lets go of it."""
    import fcntl  # Linux and macOS

    with path.open("w") as file:
        try:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                _log.warning("another process is making the %s in %s; waiting for it", what, path.parent)
                fcntl.flock(file, fcntl.LOCK_EX)
        except OSError:
            yield False
            return
        yield True


def _write_manifest(folder: Path) -> None:
    files = {path.name: _entry(path) for path in sorted(folder.iterdir())}
    content = json.dumps({"files": files, "seal": _seal(files)}, indent=1)
    (folder / _MANIFEST).write_text(content, encoding="utf-8")


def _entry(path: Path) -> dict[str, Any]:
    with path.open("rb") as stream:
        blocks = [hashlib.sha256(block).hexdigest() for block in iter(lambda: stream.read(BLOCK_BYTES), b"")]
    return {"size": path.stat().st_size, "sha256": blocks}


def _seal(files: dict[str, dict[str, Any]]) -> str:
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()


def _check_blocks(path: Path, digests: list[str]) -> None:
    numbers = list(range(len(digests)))
    if len(digests) * BLOCK_BYTES > WHOLE_CHECK_BYTES:
        step = (len(digests) - 1) / (SAMPLED_BLOCKS - 1)
        numbers = sorted({round(index * step) for index in range(SAMPLED_BLOCKS)})
    with path.open("rb") as stream:
        for number in numbers:
            stream.seek(number * BLOCK_BYTES)
            if hashlib.sha256(stream.read(BLOCK_BYTES)).hexdigest() != digests[number]:
                raise ValueError(f"its content changed after byte {number * BLOCK_BYTES}")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
