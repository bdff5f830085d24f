"""The tensors of a file whose SHA-256 is known, in one reading: the file is mapped into memory, hashed there, and used.

One thread hashes, the other looks at the numbers meanwhile. So opening a checked file takes about as long as hashing
it, and its weights are in memory once, however many processes open it.

Where the weights are copied anyway, into another type or onto a device, the pages of the file are let go again behind
both, so that it does not stay in memory beside them.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import mmap
import os
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from zoo.checkpoint.disk import disk_errors, open_plain
from zoo.checkpoint.manifest import damaged_folder, hash_file, other_content
from zoo.checkpoint.pages import let_go
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
def hashing(path: Path, stays: bool = True) -> Iterator[Hashing]:
    """Hashes a file beside all that the block does, for `load_verified`; its end, or an error, breaks that off.

    Args:
        path: of the file.
        stays: whether the file is used from memory afterwards, or copied.

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
            piece = view[start : start + HASHED_BYTES]
            digest.update(piece)
            if not stays:
                let_go(torch.frombuffer(piece, dtype=torch.uint8))
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
    on_cpu = device is None or device.type == "cpu"
    stays = on_cpu and all(one.turned(dtype) == one.dtype for one in stored)
    found = Verified({}, [])
    with contextlib.ExitStack() as scope:
        content, digest = hashed or scope.enter_context(hashing(path, stays))
        start = 8 + int.from_bytes(content[:8], "little")  # the length of the header, the header, the numbers
        for one in stored:
            count = math.prod(one.shape)
            tensor = torch.frombuffer(content, dtype=one.dtype, count=count, offset=start) if count else torch.empty(0)
            tensor = tensor.to(one.dtype).reshape(one.shape)
            start += tensor.nbytes
            if not is_finite(tensor):
                found.not_finite.append(one.name)
            found.tensors[one.name] = _turned(tensor, one.turned(dtype)).to(device or "cpu")
            if count and (one.turned(dtype) != one.dtype or not on_cpu):
                let_go(tensor)
        if digest.result() != sha256:
            raise _other_content(path, digest.result(), sha256)
    return found


def _turned(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """The tensor in another type, in the thread that asks; itself where it has that type."""
    if tensor.dtype == dtype:
        return tensor
    turned = torch.empty(tensor.shape, dtype=dtype)
    for part, numbers in zip(turned.view(-1).split(SERIAL), tensor.view(-1).split(SERIAL), strict=True):
        part.copy_(numbers)
    return turned


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
