"""The product of a few rows with a large weight, as decoding asks for it.

Its time is that of reading the weight.

torch's `linear` hands BLAS the weight as the left factor of a product with few columns. On CPUs (MKL, AVX-512, 2 cores)
that reads a weight of 50,257 × 384 in 7.5 ms for one row, in one thread, and in 15 ms for eight; with the factors the
other way round the same numbers come out in 1.9 and 4.6 ms, and reading them takes 1.4. Small weights stay in the
processor's caches, where `linear` is as good, and in bfloat16 it is better.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

MOST_ROWS = 16
"""Rows from which on `linear` is as fast."""
SMALLEST = 1 << 17
"""Elements of a weight below which `linear` is as fast."""


def linear(rows: Tensor, weight_OI: Tensor, bias_O: Tensor | None) -> Tensor:
    """rows @ weightᵀ + bias, (…, I) → (…, O): torch's, or equal to it up to rounding."""
    if weight_OI.numel() < SMALLEST or torch.is_grad_enabled() or not _is_read_faster(rows, weight_OI):
        return functional.linear(rows, weight_OI, bias_O)
    rows_NI = rows.reshape(-1, rows.shape[-1])
    count = len(rows_NI)
    # a single column would be a product with a vector, for which BLAS takes one thread: so it comes twice
    columns_IN = (rows_NI.contiguous() if count > 1 else torch.cat((rows_NI, rows_NI))).T
    out_NO = torch.stack((weight_OI @ columns_IN).unbind(1)[:count])  # a third of the time that copying .T takes
    if bias_O is not None:
        out_NO += bias_O
    return out_NO.view(*rows.shape[:-1], len(weight_OI))


def _is_read_faster(rows: Tensor, weight_OI: Tensor) -> bool:
    """Whether the factors the other way round read the weight faster."""
    return (
        0 < rows.numel() <= MOST_ROWS * rows.shape[-1]
        and weight_OI.dtype in (torch.float32, torch.float64)
        and weight_OI.device.type == "cpu"
        and weight_OI.is_contiguous()  # GPT-2's, mapped as they are stored, lie the other way already: 50 times slower
        and not torch.compiler.is_compiling()
    )
