"""Files of text: which ones a path stands for, their bytes line by line, their text.

A path is a file, a folder (all fitting files below it, hidden ones left out) or a glob; the order is that of the sorted
names. Names that end in .gz or .zst are unpacked while they are read. Nothing outside a named folder is read: a link
that leads out of it is refused.
"""

from __future__ import annotations

import glob
import gzip
import hashlib
import os
import sys
import time
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, cast

from zoo.errors import DataError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd  # the same module, for the Pythons that came before it

PACKED = (".gz", ".zst")
"""Endings of packed files, behind the ending of what is in them."""

_GLOB_SIGNS = frozenset("*?[")
_FRESH_NANOSECONDS = 2_000_000_000
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_ZSTD_HEADER = 18
"""Bytes of the longest header of a frame."""


def find_files(path: str, suffixes: Sequence[str], packed: bool = True) -> list[Path]:
    """The files that `path` stands for, sorted by name.

    Args:
        path: a file, a folder or a glob (** stands for any number of folders); ~ is the home folder.
        suffixes: endings (".txt") of the files that count in a folder.
        packed: whether each of them also counts with .gz or .zst behind it.

    Raises:
        DataError: nothing is there, no file fits, or a link leads out of the folder.
    """
    found = Path(path).expanduser()
    if found.is_file():
        return [found]
    if found.is_dir():
        return _files_of_folder(found, suffixes, packed)
    if not _GLOB_SIGNS & set(path):
        raise DataError(f"no file or folder at {path} (looked from {Path.cwd()})")
    files = sorted(Path(name) for name in glob.glob(str(found), recursive=True) if Path(name).is_file())
    if not files:
        raise DataError(f"no file matches {path} (looked from {Path.cwd()})")
    return files


def _files_of_folder(folder: Path, suffixes: Sequence[str], packed: bool) -> list[Path]:
    endings = tuple(suffix + behind for suffix in suffixes for behind in (("", *PACKED) if packed else ("",)))
    files = []
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        files += [Path(place, name) for name in names if name.lower().endswith(endings) and not name.startswith(".")]
    inside = folder.resolve()
    for file in files:
        if not file.resolve().is_relative_to(inside):
            raise DataError(f"{file} is a link that leads out of {folder}; name the file itself, or a glob")
    if not files:
        behind = f" (or one of these with {' or '.join(PACKED)})" if packed else ""
        raise DataError(
            f"no file in {folder} ends in {', '.join(suffixes)}{behind}; files of other names are read where the path "
            f"names one, or is a glob ('{folder}/*')"
        )
    return sorted(files)


def content_fingerprint(files: Sequence[Path]) -> str:
    """SHA-256 over the bytes of each file, in order; names and times do not count."""
    total = hashlib.sha256()
    for file in files:
        try:
            total.update(_digest(file))
        except OSError as error:
            raise DataError(f"cannot read {file}: {error.strerror or error}") from None
    return total.hexdigest()


_digests: dict[tuple[Path, int, int, int], bytes] = {}


def _digest(file: Path) -> bytes:
    """SHA-256 of a file, remembered for as long as this process lives and the file is not written to."""
    state = file.stat()
    key = (file, state.st_ino, state.st_size, state.st_mtime_ns)
    if key not in _digests:
        with file.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").digest()
        if time.time_ns() - state.st_mtime_ns < _FRESH_NANOSECONDS:
            return digest  # a second write could still carry the same time
        _digests[key] = digest
    return _digests[key]


def content_size(files: Sequence[Path]) -> int:
    """Bytes of text in the files, unpacked. A guide for a progress bar: gzip notes the size modulo 4 GiB, and zst only
    where the packer knew it."""
    return sum(map(_unpacked_size, files))


def _unpacked_size(file: Path) -> int:
    size, suffix = file.stat().st_size, file.suffix.lower()
    with file.open("rb") as stream:
        if suffix == ".gz" and size >= 4:
            stream.seek(-4, os.SEEK_END)
            return int.from_bytes(stream.read(4), "little")
        if suffix == ".zst":
            try:
                return zstd.get_frame_info(stream.read(_ZSTD_HEADER)).decompressed_size or size
            except zstd.ZstdError:
                return size  # damaged; whoever reads it says so
    return size


def lines(file: Path) -> Iterator[tuple[int, str]]:
    """The lines of a file, line ends kept, each with the byte offset at which it starts (in the unpacked text).

    A byte order mark at the very start is left out. Raises DataError that names the file, and the byte where it is not
    UTF-8.
    """
    offset = 0
    for line in _raw(file):
        mark = len(_BYTE_ORDER_MARK) if offset == 0 and line.startswith(_BYTE_ORDER_MARK) else 0
        yield offset + mark, decode(line[mark:], file, offset + mark)
        offset += len(line)


def whole(file: Path) -> str:
    """The text of a file. Errors as those of `lines`."""
    content = b"".join(_raw(file))
    mark = len(_BYTE_ORDER_MARK) if content.startswith(_BYTE_ORDER_MARK) else 0
    return decode(content[mark:], file, mark)


def decode(content: bytes, file: Path, offset: int) -> str:
    """UTF-8 `content`, which starts at byte `offset` of `file`, as text."""
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise DataError(
            f"{file} is not valid UTF-8: byte 0x{content[error.start]:02x} at offset {offset + error.start} "
            f"({error.reason}); convert the file to UTF-8 first"
        ) from None


def _raw(file: Path) -> Iterator[bytes]:
    try:
        with _open(file) as stream:
            yield from stream
    except (OSError, EOFError, zlib.error, zstd.ZstdError) as error:
        raise DataError(f"cannot read {file}: {error}") from None


def _open(file: Path) -> IO[bytes]:
    suffix = file.suffix.lower()
    if suffix == ".gz":
        return cast("IO[bytes]", gzip.open(file, "rb"))
    if suffix == ".zst":
        return cast("IO[bytes]", zstd.open(file, "rb"))
    return file.open("rb")
