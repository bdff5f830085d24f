"""Whole numbers that grow while a run goes on: the rows of a step, the length of a row.

They grow in equal strides, at steps that are known beforehand. So the number at a step, and the sum of the numbers of
all steps before it, are functions of the step, found at once.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate, pairwise


class Stages:
    """A number for each step, constant within a stage.

    Args:
        values: of each stage.
        begins: the first step of each stage, ascending from 0.
    """

    def __init__(self, values: Sequence[int], begins: Sequence[int]) -> None:
        assert len(values) == len(begins) >= 1, (values, begins)
        assert begins[0] == 0, begins
        assert all(one < other for one, other in pairwise(begins)), begins
        self.values = tuple(values)
        self.begins = tuple(begins)
        lengths = [stop - start for start, stop in pairwise(self.begins)]
        products = (value * length for value, length in zip(self.values, lengths, strict=False))
        self._sums = tuple(accumulate(products, initial=0))

    def value(self, step: int) -> int:
        """The number at a step, from 0."""
        return self.values[self._stage(step)]

    def sum_before(self, step: int) -> int:
        """The sum of the numbers of all steps below this one."""
        stage = self._stage(step)
        return self._sums[stage] + self.values[stage] * (step - self.begins[stage])

    def _stage(self, step: int) -> int:
        return bisect_right(self.begins, step) - 1


def constant(value: int) -> Stages:
    """The same number at every step."""
    return Stages((value,), (0,))


def growing(start: int, stop: int, increment: int, steps: int) -> Stages:
    """From `start` to `stop`, `increment` at a time, in stages of equal length; `stop` is reached at step `steps`.

    Where `steps` is not a multiple of the strides, stages differ by a step. The strides must make up the way and have
    a step each at least.
    """
    strides, rest = divmod(stop - start, increment)
    assert strides >= 1, (start, stop, increment)
    assert rest == 0, (start, stop, increment)
    assert steps >= strides, (steps, strides)
    numbers = range(strides + 1)
    return Stages([start + number * increment for number in numbers], [steps * number // strides for number in numbers])
