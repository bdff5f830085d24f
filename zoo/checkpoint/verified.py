"""The tensors of a file whose SHA-256 is known, in one reading: the file is mapped into memory, hashed there, and used.

One thread hashes, the other looks at the numbers meanwhile. So opening a checked file takes about as long as hashing
it, and its weights are in memory once, however many processes open it.

What is turned into another type is read piece by piece instead: the mapped file would stay in memory beside the copy.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import math
import mmap
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from zoo.checkpoint.disk import disk_errors, open_plain
from zoo.checkpoint.manifest import damaged_folder, hash_file, other_content
from zoo.checkpoint.tensors import DTYPES, open_tensors
from zoo.errors import CheckpointError

PIECE_BYTES = 4 << 20
"""What is looked at at once; the answer for each number has to fit beside it into the processor's cache."""
SERIAL = 1 << 14
"""So few numbers torch copies in the thread that asks (fewer than its grain of 32,768), and leaves the others alone."""
HASHED_BYTES = 16 << 20
"""After so many, hashing that nobody needs any more ends."""
NOT_FINITE: dict[torch.dtype, tuple[type[np.unsignedinteger], int]] = {
    torch.float64: (np.uint64, 0x7FF0_0000_0000_0000),
    torch.float32: (np.uint32, 0x7F80_0000),
    torch.bfloat16: (np.uint16, 0x7F80),
    torch.float16: (np.uint16, 0x7C00),
    torch.float8_e5m2: (np.uint8, 0x7C),
    torch.float8_e4m3fn: (np.uint8, 0x7F),  # it has no infinity, and NaN is all ones
}
"""By type, a word as wide as its numbers and the bits that are all set in NaN and infinity, and in nothing else.

NumPy looks at them in the thread that asks. Torch would take all processors, also the one that hashes.
"""


class Verified(NamedTuple):
    """What was read.

    Attributes:
        tensors: by name.
        not_finite: names of those that hold NaN or infinite numbers.
    """

    tensors: dict[str, Tensor]
    not_finite: list[str]


class _Stored(NamedTuple):
    """A tensor in a file, as the header says: its name, its type, its shape."""

    name: str
    dtype: torch.dtype
    shape: tuple[int, ...]

    def turned(self, dtype: torch.dtype | None) -> torch.dtype:
        """The type that it gets where this one is asked for."""
        return dtype if dtype is not None and self.dtype.is_floating_point else self.dtype


class Hashing(NamedTuple):
    """A file in memory that a thread hashes: its content, and the SHA-256 that comes of it ("" where it broke off)."""

    content: mmap.mmap
    digest: Future[str]


@contextlib.contextmanager
def hashing(path: Path) -> Iterator[Hashing]:
    """Hashes a file beside all that the block does, for `load_verified`; its end, or an error, breaks that off.

    Raises:
        CheckpointError: the file is missing, empty, or cannot be mapped.
    """
    with open_plain(path) as file, disk_errors(f"read {path}"):
        if not os.fstat(file.fileno()).st_size:
            raise CheckpointError(f"{path} is damaged or no safetensors file: it is empty")
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    is_over = threading.Event()

    def hash_all() -> str:
        digest, view = hashlib.sha256(), memoryview(content)
        for start in range(0, len(view), HASHED_BYTES):
            if is_over.is_set():
                return ""
            digest.update(view[start : start + HASHED_BYTES])
        return digest.hexdigest()

    with ThreadPoolExecutor(max_workers=1) as thread:
        try:
            yield Hashing(content, thread.submit(hash_all))
        finally:
            is_over.set()


def load_verified(
    path: Path,
    sha256: str,
    *,
    device: torch.device | None = None,
    dtype: torch.dtype | None = None,
    hashed: Hashing | None = None,
) -> Verified:
    """All tensors of a safetensors file that has this SHA-256.

    On the CPU, and in the file's types, they are the file itself, mapped into memory. What is written to them stays in
    memory; the file must stay as it is as long as they live (it may be removed, or another put in its place).

    Args:
        path: of the file.
        sha256: in lower-case hexadecimal digits.
        device: where the tensors go; None: the CPU.
        dtype: what those of floating point are turned into; None: they stay as they are stored.
        hashed: the file, where it is being hashed already.

    Raises:
        CheckpointError: the file is missing, is no valid safetensors file, holds a type that has no equal in torch, or
            has another content.
    """
    with open_tensors(path, mapped=True) as file:  # the library checks that the header fits the file; no number is read
        slices = [(name, file.get_slice(name)) for name in file.offset_keys()]
        layout = [(name, str(one.get_dtype()), tuple(one.get_shape())) for name, one in slices]
    for name, code, _ in layout:
        if code not in DTYPES:
            raise CheckpointError(f"{path}: {name} has the type {code}, which is none of {', '.join(DTYPES)}")
    stored = [_Stored(name, DTYPES[code], shape) for name, code, shape in layout]
    found = Verified({}, [])
    with contextlib.ExitStack() as scope:
        if all(one.turned(dtype) == one.dtype for one in stored):
            mapped = hashed or scope.enter_context(hashing(path))
            digest: Callable[[], str] = mapped.digest.result
            tensors = _mapped(mapped.content, stored, found.not_finite)
        else:
            file = _Hashed(scope.enter_context(open_plain(path)), scope.enter_context(ThreadPoolExecutor(1)))
            digest, tensors = file.hexdigest, _turned(file, stored, dtype, found.not_finite)
        with disk_errors(f"read {path}"):
            for one, tensor in zip(stored, tensors, strict=True):
                found.tensors[one.name] = tensor if device is None else tensor.to(device)
        if (said := digest()) != sha256:
            raise _other_content(path, said, sha256)
    return found


def _mapped(content: mmap.mmap, stored: list[_Stored], not_finite: list[str]) -> Iterator[Tensor]:
    """The tensors of a file as it lies in memory; names of those with NaN or infinite numbers are put on the list."""
    start = 8 + int.from_bytes(content[:8], "little")  # the length of the header, the header, the numbers
    for name, dtype, shape in stored:
        count = math.prod(shape)
        tensor = torch.frombuffer(content, dtype=dtype, count=count, offset=start) if count else torch.empty(0)
        tensor = tensor.to(dtype).reshape(shape)
        if not is_finite(tensor):
            not_finite.append(name)
        yield tensor
        start += count * dtype.itemsize


class _Hashed:
    """A file that is read piece by piece, and hashed by another thread meanwhile.

    Args:
        file: from its start. thread: a single one.
    """

    def __init__(self, file: io.BufferedReader, thread: ThreadPoolExecutor) -> None:
        self._file, self._thread, self._digest = file, thread, hashlib.sha256()
        # While one is hashed, the other is filled and looked at.
        self._buffers = (bytearray(PIECE_BYTES), bytearray(PIECE_BYTES))
        self._jobs: list[Future[None]] = [thread.submit(lambda: None)] * 2

    def pieces(self, num_bytes: int) -> Iterator[memoryview]:
        """The next bytes, piece by piece; each stays what it is until the next but one is asked for."""
        while num_bytes:
            self._jobs[0].result()
            piece = memoryview(self._buffers[0])[: min(num_bytes, PIECE_BYTES)]
            if self._file.readinto(piece) != len(piece):
                raise CheckpointError(f"{self._file.name} became shorter while it was read; use another checkpoint")
            self._jobs = [self._jobs[1], self._thread.submit(self._digest.update, piece)]
            self._buffers = self._buffers[::-1]
            yield piece
            num_bytes -= len(piece)

    def hexdigest(self) -> str:
        """SHA-256 of all that was read, once that is hashed."""
        for job in self._jobs:
            job.result()
        return self._digest.hexdigest()


def _turned(file: _Hashed, stored: list[_Stored], dtype: torch.dtype | None, not_finite: list[str]) -> Iterator[Tensor]:
    """As `_mapped`, in another type and in memory of their own."""
    start = b"".join(file.pieces(8))
    for _ in file.pieces(int.from_bytes(start, "little")):
        pass
    for one in stored:
        tensor, done, finite = torch.empty(one.shape, dtype=one.turned(dtype)), 0, True
        numbers = tensor.view(-1)
        for piece in file.pieces(tensor.numel() * one.dtype.itemsize):
            read = torch.frombuffer(piece, dtype=one.dtype)
            finite = finite and is_finite(read)
            for part in read.split(SERIAL):
                numbers[done : done + part.numel()] = part
                done += part.numel()
        if not finite:
            not_finite.append(one.name)
        yield tensor


@contextlib.contextmanager
def damage_first(path: Path, sha256: str) -> Iterator[None]:
    """Of a file that does not have this SHA-256, an error of the block says that, and not what came of it."""
    try:
        yield
    except CheckpointError:
        if (found := hash_file(path)) != sha256:
            raise _other_content(path, found, sha256) from None
        raise


def _other_content(path: Path, found: str, expected: str) -> CheckpointError:
    return damaged_folder(path.parent, [other_content(path.name, found, expected)])


def is_finite(tensor: Tensor) -> bool:
    """Whether no number of a tensor in the host's memory is NaN or infinite; complex ones are not looked at."""
    if tensor.dtype not in NOT_FINITE:
        return True
    word, mask = NOT_FINITE[tensor.dtype]
    content = tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy()
    pieces = (content[start : start + PIECE_BYTES].view(word) for start in range(0, content.size, PIECE_BYTES))
    return all(int((piece & word(mask)).max()) < mask for piece in pieces)
