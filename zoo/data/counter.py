"""Random numbers that are a function of where they are used, not of who drew before.

A number is named by (seed, stream, epoch, sample, index). Its 64 bits come from the finalizer of SplitMix64 (Steele,
Lea & Flood 2014, "Fast splittable pseudorandom number generators") applied to a counter, so any of them can be had at
once, in any order, in any process. A stream is what the numbers are for ("order", "mask/positions", …): its name and
the seed go through BLAKE2 into the starting point, so streams are unrelated to each other.

Everything is vectorised over rows; `epochs` and `samples` are integer arrays of shape (B,).
"""

from __future__ import annotations

import functools
import hashlib
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Bits = NDArray[np.uint64]

# Odd constants: a counter times one of them visits every 64-bit number. The first is 2⁶⁴ over the golden ratio.
_INDEX_STEP = np.uint64(0x9E3779B97F4A7C15)
_EPOCH_STEP = np.uint64(0xD1B54A32D192ED03)
_SAMPLE_STEP = np.uint64(0xABC98388FB8FAC03)

_FEISTEL_ROUNDS = 6

_FEW = 256  # up to this many things, every order is equally likely; a Feistel network over few cells reaches too few


def bits(seed: int, stream: str, epochs: Integers, samples: Integers, count: int) -> Bits:
    """`count` times 64 random bits for each row.

    Args:
        seed: any whole number.
        stream: what the numbers are for.
        epochs, samples: (B,) which row.
        count: how many numbers a row gets; the first ones do not depend on it.

    Returns:
        (B, count) uint64.
    """
    state_B = np.asarray(epochs).astype(np.uint64) * _EPOCH_STEP + _start(seed, stream)
    state_B = _mixed(state_B) + np.asarray(samples).astype(np.uint64) * _SAMPLE_STEP
    return _mixed(_mixed(state_B)[:, None] + _indices(count))


def uniform(seed: int, stream: str, epochs: Integers, samples: Integers, count: int) -> NDArray[np.float64]:
    """As `bits`, but (B, count) float64 in [0, 1), with 53 random bits each."""
    return (bits(seed, stream, epochs, samples, count) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def choose(
    seed: int, stream: str, epochs: Integers, samples: Integers, groups_BW: Integers, counts_BG: Integers
) -> NDArray[np.bool_]:
    """A random subset of each group of each row; each subset of its size is equally likely.

    Args:
        seed, stream, epochs, samples: as for `bits`.
        groups_BW: (B, W) the group in [0, G) of each place of each row, −1 for places that are not up for choice.
            G must not exceed W.
        counts_BG: (B, G) how many places of each group are chosen, at most its size.

    Returns:
        (B, W) bool.
    """
    width, num_groups = groups_BW.shape[1], counts_BG.shape[1]
    # A key holds group | random bits | place, so that sorting a row brings its groups one after another, each in random
    # order, without ties. The cut of the bits depends on the width only: a row's choice must not depend on its batch.
    field = np.uint64((width + 1).bit_length())
    groups = np.where(groups_BW < 0, num_groups, groups_BW)
    keys_BW = bits(seed, stream, epochs, samples, width)
    keys_BW >>= np.uint64(2) * field
    keys_BW <<= field
    keys_BW |= groups.astype(np.uint64) << (np.uint64(64) - field)
    keys_BW |= np.arange(width, dtype=np.uint64)
    # Sorting 32-bit numbers is several times faster. Where the high halves leave a tie, whole keys decide.
    chosen = _lowest((keys_BW >> np.uint64(32)).astype(np.uint32), groups, counts_BG)
    tied = np.flatnonzero(chosen.sum(axis=1) != counts_BG.sum(axis=1))
    if len(tied):
        chosen[tied] = _lowest(keys_BW[tied], groups[tied], counts_BG[tied])
    return chosen


def _lowest(keys_BW: NDArray[Any], groups_BW: Integers, counts_BG: Integers) -> NDArray[np.bool_]:
    """The places with the lowest keys of each group, more than wanted where keys are equal; group G is left out."""
    num_rows, num_groups = counts_BG.shape
    in_order_BW = np.sort(keys_BW, axis=1)
    last_BG = counts_BG - 1
    if num_groups > 1:
        flat = groups_BW + (num_groups + 1) * np.arange(num_rows)[:, None]
        sizes = np.bincount(flat.ravel(), minlength=num_rows * (num_groups + 1)).reshape(num_rows, num_groups + 1)
        last_BG = last_BG + np.cumsum(sizes, axis=1)[:, :-1] - sizes[:, :-1]
    limits_BG = np.take_along_axis(in_order_BW, np.maximum(last_BG, 0), axis=1)
    if num_groups == 1:
        return (keys_BW <= limits_BG) & (groups_BW < counts_BG.clip(max=1))
    limits_BG = np.concatenate([limits_BG, limits_BG[:, :1]], axis=1)  # whatever it is, group G has no wanted places
    wanted_BG = np.concatenate([counts_BG > 0, np.zeros((num_rows, 1), bool)], axis=1)
    chosen = keys_BW <= np.take_along_axis(limits_BG, groups_BW, axis=1)
    return chosen & np.take_along_axis(wanted_BG, groups_BW, axis=1)


def permuted(seed: int, stream: str, epochs: Integers, indices: Integers, size: int) -> Integers:
    """Where each index goes in a random order of range(size), one order for each epoch.

    The rank of random keys where there are few. Else a Feistel network on the cells of the smallest near-square table
    that has `size` of them, walked along its cycles until the cell is in range (Black & Rogaway 2002, "Ciphers with
    arbitrary finite domains"): a bijection of range(size) that needs no memory.

    Args:
        seed, stream: as for `bits`.
        epochs: (B,) which order.
        indices: (B,) in [0, size).
        size: at least 1.

    Returns:
        (B,) int64 in [0, size).
    """
    assert 1 <= size <= 1 << 62, size
    epochs, indices = np.asarray(epochs), np.asarray(indices)
    if size <= _FEW:
        keys_BS = bits(seed, stream, epochs, np.zeros_like(epochs), size)
        return (keys_BS < np.take_along_axis(keys_BS, indices[:, None], axis=1)).sum(axis=1)
    columns = math.isqrt(size - 1) + 1
    table = (np.uint64(-(-size // columns)), np.uint64(columns))
    values = indices.astype(np.uint64)
    keys_RB = np.ascontiguousarray(bits(seed, stream, epochs, np.zeros_like(epochs), _FEISTEL_ROUNDS).T)
    values = _feistel(values, keys_RB, table)
    outside = np.flatnonzero(values >= np.uint64(size))
    while len(outside):  # less than one row of the table is out of range, so this ends soon
        values[outside] = _feistel(values[outside], keys_RB[:, outside], table)
        outside = outside[values[outside] >= np.uint64(size)]
    return values.astype(np.int64)


def _feistel(values: Bits, keys_RB: Bits, table: tuple[np.uint64, np.uint64]) -> Bits:
    """Adds to row and column of each cell in turn what is mixed from the other; each round can be undone."""
    num_rows, num_columns = table
    row, column = values // num_columns, values % num_columns
    for number in range(0, _FEISTEL_ROUNDS, 2):
        row = (row + _mixed(column + keys_RB[number]) % num_rows) % num_rows
        column = (column + _mixed(row + keys_RB[number + 1]) % num_columns) % num_columns
    return row * num_columns + column


@functools.lru_cache(maxsize=256)
def _start(seed: int, stream: str) -> np.uint64:
    """The starting point of a stream; the same in every process (Python's own hash is not)."""
    digest = hashlib.blake2b(f"{seed}/{stream}".encode(), digest_size=8).digest()
    return np.uint64(int.from_bytes(digest, "little"))


@functools.lru_cache(maxsize=64)
def _indices(count: int) -> Bits:
    steps = np.arange(1, count + 1, dtype=np.uint64) * _INDEX_STEP
    steps.flags.writeable = False
    return steps


def _mixed(state: Bits) -> Bits:
    """SplitMix64's finalizer: a bijection of 64-bit numbers in which each input bit flips half of the output bits."""
    state = state ^ (state >> np.uint64(30))
    state *= np.uint64(0xBF58476D1CE4E5B9)
    state ^= state >> np.uint64(27)
    state *= np.uint64(0x94D049BB133111EB)
    state ^= state >> np.uint64(31)
    return state
