"""What checkpoints ask of a file system: durable writes, an atomic swap, free space, small JSON files read with care.

Every failure here is a CheckpointError that names the path, what is wrong and what to do about it.
"""

from __future__ import annotations

import contextlib
import ctypes
import difflib
import errno
import fcntl
import io
import json
import math
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from zoo.errors import CheckpointError

SPACE_MARGIN = 1 << 20
"""Bytes that stay free beyond what is asked for: directory entries, the manifest, small JSON files."""

# .writing~<name>~…: a folder that is not whole yet, see folder.py
_UNFINISHED = re.compile(r"\.writing~([^~/]+)~[^/\s]*")
_AT_FDCWD = -100  # linux/fcntl.h: a relative path counts from the working directory
_RENAME_EXCHANGE = 2  # linux/fs.h: swap the two names in one step


# -------------------------------------------------------------------------------------------------------------- writing


@contextlib.contextmanager
def disk_errors(doing: str) -> Iterator[None]:
    """Turns an OSError of the block into a CheckpointError that says what could not be done and what to do about it."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise CheckpointError(f"cannot {_as_known(doing)}: {reason}{_advice(error)}") from error


def _as_known(words: str) -> str:
    """Words about a path, in which a folder has the name that it gets once it is whole."""
    return _UNFINISHED.sub(r"\1", words)


def _advice(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "; free some space, keep fewer checkpoints, or choose a folder on another disk"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "; choose a folder that you may write to"
    if error.errno == errno.ELOOP:  # what O_NOFOLLOW answers
        return "; a checkpoint holds plain files only"
    return ""


def sync_file(path: Path) -> None:
    """Returns once the content of the file has reached the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        _sync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(path: Path) -> None:
    """Returns once the names in the folder have reached the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _sync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some network file systems keep folders durable themselves and say "invalid"
            raise
    finally:
        os.close(descriptor)


def _sync(descriptor: int) -> None:
    flush_drive = getattr(fcntl, "F_FULLFSYNC", None)
    if flush_drive is not None:  # macOS: fsync alone stops at the drive's own cache
        with contextlib.suppress(OSError):  # a file system without it still has fsync
            fcntl.fcntl(descriptor, flush_drive)
            return
    os.fsync(descriptor)


def replace_file(path: Path, text: str, durable: bool = False) -> None:
    """Writes a text file (UTF-8) as a whole: after a kill or on a full disk it is the old one or the new one.

    Args:
        path: the file; its folder is made where it is missing.
        text: its new content.
        durable: whether that holds for a power cut too, and the new one is on the disk when this returns.

    Raises:
        CheckpointError: it cannot be written; the old one is as it was.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    with disk_errors(f"write {path}"):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            # newline: what is given is written, a CSV file's line ends too
            temporary.write_text(text, encoding="utf-8", newline="")
            if durable:
                sync_file(temporary)
            os.replace(temporary, path)
        finally:
            with contextlib.suppress(OSError):  # of the two errors the first one matters
                temporary.unlink(missing_ok=True)


def make_folder(path: Path) -> None:
    """Makes the folder and its parents where they are missing, and makes their names durable."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for folder in reversed(missing):
        sync_folder(folder.parent)


def remove(path: Path) -> None:
    """Removes a folder with all that is in it, or a file or link; raises OSError where something stays."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def exchange(one: Path, other: Path) -> bool:
    """Swaps two names in one step; False, with nothing changed, where the system cannot do that."""
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):  # not Linux, or a C library without it
        return False
    if renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):  # the file system does not know it
        return False
    raise OSError(number, os.strerror(number), str(one))


def ensure_writable(folder: str | Path) -> None:
    """Makes `folder` where it is missing and writes, syncs and removes a small file in it.

    For the start of work, so that saving what came of it is not the first to find out. Raises CheckpointError.
    """
    folder = Path(folder)
    with disk_errors(f"write in the folder {folder}"):
        make_folder(folder)
        probe = folder / f".probe-{os.getpid()}-{secrets.token_hex(4)}"
        try:
            probe.write_bytes(b"zoo")
            sync_file(probe)
        finally:
            probe.unlink(missing_ok=True)


def ensure_space(folder: str | Path, num_bytes: int, what: str = "the checkpoint") -> None:
    """Raises CheckpointError, with what is needed and free, where `folder` cannot take `num_bytes` more for `what`."""
    with disk_errors(f"ask for the free space of {folder}"):
        free = shutil.disk_usage(folder).free
    if free < num_bytes + SPACE_MARGIN:
        there = math.floor(free / 1e5) / 10  # rounded so that the one is never said to be as much as the other
        needed = math.ceil((num_bytes + SPACE_MARGIN) / 1e5) / 10
        raise CheckpointError(
            f"{_as_known(str(folder))} has {there:,.1f} MB free, {what} needs {needed:,.1f} MB; free some space, "
            "or choose a folder on another disk"
        )


# -------------------------------------------------------------------------------------------------------------- reading


def nearest_folder(path: Path) -> str:
    """The end of an error about a folder that is missing: the one beside it with the nearest name, or ""."""
    try:
        beside = [each.name for each in path.parent.iterdir() if each.is_dir()]
    except OSError:  # that folder is missing too, or not ours to read: there is nothing to propose
        return ""
    found = difflib.get_close_matches(path.name, beside, n=1, cutoff=0.6)
    return f"; did you mean {path.with_name(found[0])}?" if found else ""


def open_plain(path: Path) -> io.BufferedReader:
    """Opens a plain file for reading; refuses links, pipes and devices with a CheckpointError."""
    with disk_errors(f"read {path}"):
        # O_NONBLOCK: opening a pipe that nobody writes to must not wait for ever
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        file = os.fdopen(descriptor, "rb")
    if not os.path.isfile(descriptor):
        file.close()
        raise CheckpointError(f"{path} is not a plain file; a checkpoint holds plain files only")
    return file


def read_json(path: Path, max_bytes: int) -> Any:
    """The content of a small JSON file.

    Args:
        path: a plain file.
        max_bytes: a longer file is refused before it is read.

    Raises:
        CheckpointError: the file is missing, too long, no UTF-8, no JSON, nested too deeply, names a key twice, or
            holds a number that JSON has no word for.
    """
    with open_plain(path) as file, disk_errors(f"read {path}"):
        size = os.fstat(file.fileno()).st_size
        if size > max_bytes:
            raise CheckpointError(f"{path} is damaged or foreign: {size:,} bytes, at most {max_bytes:,} are read")
        content = file.read(max_bytes + 1)
    return parse_json(content, path)


def read_json_object(path: Path, max_bytes: int) -> dict[str, Any]:
    """The content of a small JSON file that holds named values; {} where it is missing. Raises as `read_json` does."""
    found = read_json(path, max_bytes) if path.exists() else {}
    if not isinstance(found, dict):
        raise CheckpointError(f"{path} is damaged: it must hold a JSON object")
    return found


def parse_json(content: bytes, path: Path) -> Any:
    """What JSON text stands for; `path` is where it comes from. Raises CheckpointError as `read_json` does."""
    try:
        return json.loads(content.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise CheckpointError(f"{path} is damaged: no JSON that can be read ({reason})") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key occurs twice")
    return found


def _refuse_constant(word: str) -> Any:
    raise ValueError(f"{word} is no JSON number")
