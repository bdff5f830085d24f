"""The tensors of a file whose SHA-256 is known, in one reading: what was hashed is what is used.

Piece by piece the file goes into the memory that the tensors keep. One thread reads, and looks at the numbers of a
piece while the processor still has them at hand; another hashes. Opening a checked file so takes as long as hashing it.
"""

from __future__ import annotations

import collections
import contextlib
import hashlib
import io
import math
from collections.abc import Iterator
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
"""What is read at once."""
MAX_WAITING = 32
"""Pieces that may wait for their hash. Of a tensor that went to another device, they keep the host's memory alive."""
ALIGNMENT = 64
"""Bytes: where torch lets its own tensors begin, and the widest registers read best."""
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


def load_verified(path: Path, sha256: str, *, device: torch.device | None = None) -> Verified:
    """All tensors of a safetensors file that has this SHA-256, in memory of their own.

    Args:
        path: of the file.
        sha256: in lower-case hexadecimal digits.
        device: where the tensors go; None: the CPU.

    Raises:
        CheckpointError: the file is missing, is no valid safetensors file, holds a type that has no equal in torch, or
            has another content.
    """
    with open_tensors(path, mapped=True) as file:  # the library checks that the header fits the file; no number is read
        slices = [(name, file.get_slice(name)) for name in file.offset_keys()]
        layout = [(name, str(one.get_dtype()), tuple(one.get_shape())) for name, one in slices]
    tensors: dict[str, Tensor] = {}
    not_finite = []
    with open_plain(path) as file, disk_errors(f"read {path}"), ThreadPoolExecutor(max_workers=1) as thread:
        reading = _Reading(file, thread)
        reading.skip_header()
        for name, code, shape in layout:
            if code not in DTYPES:
                raise CheckpointError(f"{path}: {name} has the type {code}, which is none of {', '.join(DTYPES)}")
            tensor, finite = reading.tensor(DTYPES[code], shape)
            tensors[name] = tensor if device is None else tensor.to(device)
            if not finite:
                not_finite.append(name)
        found = reading.digest()
    if found != sha256:
        raise damaged_folder(path.parent, [other_content(path.name, found, sha256)])
    return Verified(tensors, not_finite)


@contextlib.contextmanager
def damage_first(path: Path, sha256: str) -> Iterator[None]:
    """Of a file that does not have this SHA-256, an error of the block says that, and not what came of it."""
    try:
        yield
    except CheckpointError:
        if (found := hash_file(path)) != sha256:
            raise damaged_folder(path.parent, [other_content(path.name, found, sha256)]) from None
        raise


class _Reading:
    """A file that is hashed by a thread as it is read.

    Args:
        file: at its start.
        thread: does one thing after the other.
    """

    def __init__(self, file: io.BufferedReader, thread: ThreadPoolExecutor) -> None:
        self._file = file
        self._thread = thread
        self._hash = hashlib.sha256()
        self._waiting: collections.deque[Future[None]] = collections.deque()

    def skip_header(self) -> None:
        """Reads up to where the numbers begin."""
        length = self._file.read(8)
        self._hash_later(length)
        self._hash_later(self._file.read(int.from_bytes(length, "little")))

    def tensor(self, dtype: torch.dtype, shape: tuple[int, ...]) -> tuple[Tensor, bool]:
        """The next tensor of the file, and whether its numbers are finite."""
        memory = _memory(math.prod(shape) * dtype.itemsize)
        finite = True
        for start in range(0, memory.size, PIECE_BYTES):
            piece = memory[start : start + PIECE_BYTES]
            self._hash_later(piece.data[: self._file.readinto(piece.data)])
            finite = finite and _is_finite(piece, dtype)
        return torch.from_numpy(memory).view(dtype).reshape(shape), finite

    def digest(self) -> str:
        """SHA-256 of all that was read, in hexadecimal."""
        while self._waiting:
            self._waiting.popleft().result()
        return self._hash.hexdigest()

    def _hash_later(self, content: bytes | memoryview) -> None:
        self._waiting.append(self._thread.submit(self._hash.update, content))
        if len(self._waiting) > MAX_WAITING:
            self._waiting.popleft().result()


def _memory(num_bytes: int) -> np.ndarray:
    """Bytes without content. NumPy asks the system for large pages: giving many small ones takes as long as reading."""
    room = np.empty(num_bytes + ALIGNMENT, np.uint8)
    start = -room.ctypes.data % ALIGNMENT
    return room[start : start + num_bytes]


def is_finite(tensor: Tensor) -> bool:
    """Whether no number of a tensor in the host's memory is NaN or infinite; complex ones are not looked at."""
    if tensor.dtype not in NOT_FINITE:
        return True
    content = tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy()
    pieces = range(0, content.size, PIECE_BYTES)
    return all(_is_finite(content[start : start + PIECE_BYTES], tensor.dtype) for start in pieces)


def _is_finite(piece: np.ndarray, dtype: torch.dtype) -> bool:
    if dtype not in NOT_FINITE:
        return True
    word, mask = NOT_FINITE[dtype]
    return bool((piece.view(word) & word(mask)).max(initial=0) < mask)
