"""Folders that are whole or absent.

A folder is filled under a hidden temporary name beside its place; each file is synced and hashed, the manifest is
written last, the folder is renamed, its parent is synced. A kill at any moment leaves the old state or the new one, and
perhaps a temporary folder, which nobody reads and which the next writer removes once its own writer is dead.
"""

from __future__ import annotations

import contextlib
import enum
import fcntl
import os
import re
import secrets
import socket
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from zoo.checkpoint.disk import disk_errors, exchange, make_folder, remove, sync_file, sync_folder
from zoo.checkpoint.manifest import (
    MANIFEST_NAME,
    VERSION,
    FileRecord,
    Manifest,
    check_files,
    hash_file,
    legal_name,
    read_manifest,
    scan,
)
from zoo.errors import CheckpointError

__all__ = [
    "FileRecord",
    "Manifest",
    "fault",
    "newest_verified",
    "prune",
    "steps_of",
    "verify_folder",
    "write_folder",
]

_STEP = re.compile(r"step-([0-9]{1,18})")
# .writing~<name>~<host>~<process>~<random>, and .removed~… for what is on its way out, .replaced~… for what a newer
# folder takes the place of; "~" is in no legal name
_LEFTOVER = re.compile(r"\.(writing|removed|replaced)~([^~]+)~([^~]*)~([0-9]+)~([0-9a-f]+)")


def fault(point: str) -> None:
    """Does nothing. Tests put a function in its place that kills the process at the named point of a save."""


class Lock(enum.Enum):
    """What came of asking for the lock of a temporary folder."""

    HELD = "we hold it, and the system lets it go when we die"
    TAKEN = "a living process holds it"
    UNKNOWN = "the file system has no locks"


# -------------------------------------------------------------------------------------------------------------- writing


def write_folder(path: str | Path, write: Callable[[Path], None], *, format: str, replace: bool = False) -> None:
    """Writes a folder that is there as a whole or not at all, whatever happens meanwhile.

    Args:
        path: where the folder will be; its parents are made.
        write: fills the empty folder it is given with files and folders. Checkpoint folders may be among them;
            their files are listed in the outer manifest too.
        format: what kind of folder it is; `verify_folder` asks for the same.
        replace: whether to take the place of what is at `path`. The old folder stays until the new one is verified. The
            swap is one step on Linux; elsewhere a kill between its two steps leaves the old folder under a hidden name,
            and the next writer puts it back.

    Raises:
        CheckpointError: there is something at `path` and `replace` is False, the disk is full or not writable, or
            `write` left a link or an illegal name. What `write` raises comes through. Nothing is left behind.
    """
    path = Path(path)
    if not legal_name(path.name):
        raise CheckpointError(f"{path.name!r} is no name for a checkpoint folder (letters, digits, '_', '-', '.')")
    with disk_errors(f"write the checkpoint {path}"):
        make_folder(path.parent)
        remove_leftovers(path.parent)
        if os.path.lexists(path) and not replace:
            raise CheckpointError(f"{path} exists already; choose another name or remove it")
        with _temporary(path) as temporary:
            fault("made")
            write(temporary)
            fault("written")
            _seal(temporary, format)
            if os.path.lexists(path):
                verify_folder(temporary, format=format)
                fault("verified")
                _swap(temporary, path)
            else:
                os.rename(temporary, path)
            fault("renamed")
            sync_folder(path.parent)
            fault("durable")


@contextlib.contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    """A new hidden folder beside `path`, locked as long as its writer lives, and gone at the end."""
    for _ in range(100):
        temporary = _hidden("writing", path)
        os.mkdir(temporary)
        with _locked(temporary) as lock:
            if lock is Lock.TAKEN or not temporary.is_dir():
                continue  # another writer cleaned up between the two calls and took it for a leftover
            try:
                yield temporary
            finally:
                with contextlib.suppress(OSError):  # what stays is removed by the next writer
                    remove(temporary)
            return
    raise CheckpointError(f"cannot make a temporary folder in {path.parent}: other processes keep removing it")


def _seal(folder: Path, format: str) -> None:
    """Syncs and hashes every file, syncs every folder, writes the manifest last."""
    sizes = scan(folder)
    if (folder / MANIFEST_NAME).exists():
        raise CheckpointError(f"{MANIFEST_NAME} is written for you; do not write one into {folder}")
    digests = _sync_and_hash(folder, sizes)
    for inner in sorted({parent for name in sizes for parent in (folder / name).parents if folder in parent.parents}):
        sync_folder(inner)
    manifest = Manifest(format, VERSION, {name: FileRecord(size, digests[name]) for name, size in sizes.items()})
    fault("before manifest")
    (folder / MANIFEST_NAME).write_text(manifest.to_json(), encoding="utf-8")
    fault("manifest written")
    sync_file(folder / MANIFEST_NAME)
    sync_folder(folder)
    fault("sealed")


def _sync_and_hash(folder: Path, names: Collection[str]) -> dict[str, str]:
    """SHA-256 of each file, read back from memory while other threads wait for the disk to take the files."""
    digests = _known_digests(folder, names)
    with ThreadPoolExecutor(max_workers=8) as pool:
        synced = {name: pool.submit(sync_file, folder / name) for name in names}
        hashed = {name: pool.submit(hash_file, folder / name) for name in names if name not in digests}
        for name, future in synced.items():
            future.result()
            fault(f"synced {name}")
        digests.update((name, future.result()) for name, future in hashed.items())
    return digests


def _known_digests(folder: Path, names: Collection[str]) -> dict[str, str]:
    """Digests that the manifests of inner checkpoint folders state: what was hashed there is not hashed again."""
    known: dict[str, str] = {}
    for name in names:
        inner, _, last = name.rpartition("/")
        if last == MANIFEST_NAME:
            records = read_manifest(folder / inner, None).files
            known.update((f"{inner}/{file}", record.sha256) for file, record in records.items())
    return known


def _swap(temporary: Path, path: Path) -> None:
    """Puts the new folder at `path` and the old one where the new one was."""
    if exchange(temporary, path):
        return
    aside = _hidden("replaced", path)
    os.rename(path, aside)
    fault("set aside")
    os.rename(temporary, path)
    fault("replaced")
    os.rename(aside, temporary)


# ------------------------------------------------------------------------------------------------------------ leftovers


def remove_leftovers(parent: Path) -> None:
    """Removes the temporary folders of writers that are dead, and puts back what a dead writer set aside."""
    with os.scandir(parent) as entries:
        found = [(entry.name, _LEFTOVER.fullmatch(entry.name)) for entry in entries if not entry.is_symlink()]
    for name, match in sorted((name, match) for name, match in found if match):
        kind, original, host, process, _ = match.groups()
        # What cannot be removed now is in nobody's way, and the next writer tries again.
        with contextlib.suppress(OSError), _locked(parent / name) as lock:
            if lock is Lock.TAKEN or (lock is Lock.UNKNOWN and not _is_dead(host, int(process))):
                continue
            if kind == "replaced" and not os.path.lexists(parent / original):
                os.rename(parent / name, parent / original)
            else:
                remove(parent / name)


def _hidden(kind: str, path: Path) -> Path:
    token = secrets.token_hex(6)
    return path.parent / f".{kind}~{path.name}~{_host()}~{os.getpid()}~{token}"


def _host() -> str:
    return re.sub(r"[^A-Za-z0-9.-]", "-", socket.gethostname())[:64]


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[Lock]:
    """Asks for the lock of a folder without waiting; it falls when the block ends or the process dies."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:  # another writer holds it and has removed it meanwhile
        yield Lock.TAKEN
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            state = Lock.HELD
        except BlockingIOError:
            state = Lock.TAKEN
        except OSError:
            state = Lock.UNKNOWN
        yield state
    finally:
        os.close(descriptor)


def _is_dead(host: str, process: int) -> bool:
    """Whether a process is known to be dead: only this machine's can be."""
    if host != _host():
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


# -------------------------------------------------------------------------------------------------------------- reading


def verify_folder(path: str | Path, *, format: str, contents: bool = True, later: Collection[str] = ()) -> Manifest:
    """The manifest of a folder that is exactly what was written.

    Args:
        path: the folder.
        format: what kind of folder it must be.
        contents: False looks at names and sizes only, and reads no file but the manifest.
        later: names of files whose content the caller compares with the manifest itself when it reads them.

    Raises:
        CheckpointError: the folder or a file is missing, cut short, changed, foreign or a link, or the manifest is
            damaged, of a newer version, of another format, or names what lies outside. The message names the file.
    """
    path = Path(path)
    manifest = read_manifest(path, format)
    check_files(path, manifest, contents, later)
    return manifest


def steps_of(parent: str | Path) -> list[tuple[int, Path]]:
    """(N, folder) of each folder `step-N` in `parent`, whole or not, the largest N first; links to folders count."""
    parent = Path(parent)
    found = []
    with disk_errors(f"read the folder {parent}"):
        if not parent.is_dir():
            return []
        with os.scandir(parent) as entries:
            for entry in entries:
                match = _STEP.fullmatch(entry.name)
                if match and entry.is_dir():
                    found.append((int(match[1]), parent / entry.name))
    return sorted(found, reverse=True)


def newest_verified(parent: str | Path, *, format: str, later: Collection[str] = ()) -> tuple[Path | None, list[str]]:
    """The folder `step-N` with the largest N that verifies, None where none does.

    Args:
        parent: folder of the steps.
        format, later: as for `verify_folder`.

    Returns:
        The folder, and a warning for each newer one that was passed over: it names both and says what is wrong.
        Files, and folders of other names, are ignored.
    """
    damaged = []
    for _, folder in steps_of(parent):
        try:
            if folder.is_symlink():
                raise CheckpointError(f"{folder} is a symbolic link; move the folder itself here")
            verify_folder(folder, format=format, later=later)
        except CheckpointError as error:
            damaged.append((folder, error))
            continue
        return folder, [f"passing over {bad.name}, going on from {folder.name}: {error}" for bad, error in damaged]
    return None, [f"passing over {bad.name}, and no older checkpoint is whole: {error}" for bad, error in damaged]


def prune(parent: str | Path, keep: int, *, format: str, protect: Collection[str | Path] = ()) -> list[str]:
    """Removes old folders `step-N`, so that the newest `keep` whole ones stay.

    Nothing is removed before the newest one that stays has been read and verified in full; the others are judged by
    names and sizes. Damaged folders older than that one go, newer ones stay for a look. Links stay.

    Args:
        parent: folder of the steps.
        keep: how many whole ones stay, at least 1.
        format: what kind of folder they are.
        protect: folders that stay in any case and are not counted.

    Returns:
        A warning for each folder that could not be removed.
    """
    if keep < 1:
        raise CheckpointError(f"keep={keep}: at least one checkpoint must stay")
    protected = {Path(folder).resolve() for folder in protect}
    kept, warnings = 0, []
    for _, folder in steps_of(parent):
        if folder.is_symlink() or folder.resolve() in protected:
            continue
        if kept < keep:
            with contextlib.suppress(CheckpointError):
                verify_folder(folder, format=format, contents=kept == 0)
                kept += 1
                continue
        if kept:
            warnings += _remove_step(folder)
    return warnings


def _remove_step(folder: Path) -> list[str]:
    """Removes a step under a hidden name, so that a kill half-way leaves no damaged step behind."""
    try:
        hidden = _hidden("removed", folder)
        os.rename(folder, hidden)
        fault("hidden")
        remove(hidden)
        fault("removed")
    except OSError as error:
        return [f"cannot remove the old checkpoint {folder}: {error.strerror or error}; remove it by hand"]
    return []
