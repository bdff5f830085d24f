"""Files mapped into memory: what has been read of them stays there until it is let go, or the system needs the room."""

from __future__ import annotations

import ctypes
import mmap

from torch import Tensor

_DONT_NEED = 4  # MADV_DONTNEED of sys/mman.h, on Linux and macOS
_library = ctypes.CDLL(None)


def let_go(tensor: Tensor) -> None:
    """Gives back the pages that only this tensor lies on.

    Args:
        tensor: a part of a mapped file. It stays usable: what is touched again is read from the file again. What was
            written to it is lost, and so is memory that is no file's.
    """
    start = -(-tensor.data_ptr() // mmap.PAGESIZE) * mmap.PAGESIZE
    end = (tensor.data_ptr() + tensor.nbytes) // mmap.PAGESIZE * mmap.PAGESIZE
    if end > start:  # advice: where it is not taken, the pages stay
        _library.madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), _DONT_NEED)
