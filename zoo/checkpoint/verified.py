"""The tensors of a file whose SHA-256 is known, in one reading: the file is mapped into memory, hashed there, and used.

One thread hashes, the other looks at the numbers meanwhile. So opening a checked file takes about as long as hashing
it, and its weights are in memory once, however many processes open it.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import mmap
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
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
    """All tensors of a safetensors file that has this SHA-256.

    On the CPU they are the file itself, mapped into memory. What is written to them stays in memory; the file must stay
    as it is as long as they live (it may be removed, or another put in its place).

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
    with open_plain(path) as file, disk_errors(f"read {path}"):
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    tensors: dict[str, Tensor] = {}
    not_finite = []
    with ThreadPoolExecutor(max_workers=1) as thread:
        digest = thread.submit(lambda: hashlib.sha256(content).hexdigest())
        start = 8 + int.from_bytes(content[:8], "little")  # the length of the header, the header, the numbers
        for name, code, shape in layout:
            if code not in DTYPES:
                raise CheckpointError(f"{path}: {name} has the type {code}, which is none of {', '.join(DTYPES)}")
            dtype, count = DTYPES[code], math.prod(shape)
            tensor = torch.frombuffer(content, dtype=dtype, count=count, offset=start) if count else torch.empty(0)
            tensor = tensor.to(dtype).reshape(shape)
            if not is_finite(tensor):
                not_finite.append(name)
            tensors[name] = tensor if device is None else tensor.to(device)
            start += count * dtype.itemsize
    if digest.result() != sha256:
        raise _other_content(path, digest.result(), sha256)
    return Verified(tensors, not_finite)


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
