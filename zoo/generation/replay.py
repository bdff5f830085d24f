"""Operations that are done again and again, without what is the same each time.

A list of operations says where their arguments and results lie (`recording.py` makes it). Much of it need not be done
again:

- a result can be written where it was written the first time (`out=`), so that its tensor stays;
- a view of a tensor that stays is the same view each time, whatever the numbers in it are;
- what is made of constants alone, such as `arange(8)`, is the same each time if nothing writes over it.

All numbers are the same, bit for bit: the same kernels write to tensors of the same shapes and strides. One product has
another kernel, where that gave the very bits that were recorded (`_with_vectors`).
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from zoo.nn.few_rows import SMALLEST

IN_PLACE = frozenset(
    """
    __setitem__ add_ clamp_ copy_ div_ fill_ index_add_ index_copy_ masked_fill_ mul_ sub_
    """.split()  # noqa: SIM905  (a list would have a line for each)
)
"""Names of operations that write over their first argument."""
INTO: Mapping[str, Callable[..., Any]] = {
    "__and__": torch.bitwise_and,
    "__eq__": torch.eq,
    "__ge__": torch.ge,
    "__gt__": torch.gt,
    "__invert__": torch.bitwise_not,
    "__le__": torch.le,
    "__lt__": torch.lt,
    "__or__": torch.bitwise_or,
    "add": torch.add,
    "addmv": torch.addmv,
    "cat": torch.cat,
    "eq": torch.eq,
    "ge": torch.ge,
    "gelu": functional.gelu,
    "gt": torch.gt,
    "le": torch.le,
    "linear": functional.linear,
    "lt": torch.lt,
    "mul": torch.mul,
    "mv": torch.mv,
    "rsqrt": torch.rsqrt,
    "sigmoid": torch.sigmoid,
    "sub": torch.sub,
    "tanh": torch.tanh,
}
"""Operations that can write to a tensor that is given, by name: the function that takes it as `out`, and all else in
the same order and by the same names."""


Call = tuple[Callable[..., Any], Callable[[list[Any]], Iterable[Any]], int]
"""A function, what takes its arguments out of the registers, and the register of the result."""


class Operation(NamedTuple):
    """One call.

    Attributes:
        function: what is called.
        registers: of its arguments.
        names: of the last ones of them.
        constants: arguments with a name that are not tensors.
        result: register of what it returns.
    """

    function: Callable[..., Any]
    registers: tuple[int, ...]
    names: tuple[str, ...] = ()
    constants: Mapping[str, Any] = {}
    result: int = 0

    @property
    def name(self) -> str:
        """Of the function."""
        return getattr(self.function, "__name__", "")

    @property
    def writes_over(self) -> bool:
        """Whether it puts other numbers into its first argument."""
        return self.name in IN_PLACE

    def call(self, function: Callable[..., Any]) -> Call:
        """A call of this function with the same arguments."""
        function = functools.partial(function, **self.constants) if self.constants else function
        function = functools.partial(_by_name, function, self.names) if self.names else function
        if len(self.registers) == 1:
            return function, operator.itemgetter(slice(self.registers[0], self.registers[0] + 1)), self.result
        return function, operator.itemgetter(*self.registers) if self.registers else _nothing, self.result


def calls_as_they_were(operations: Iterable[Operation]) -> list[Call]:
    """Every operation, called as it was."""
    return [operation.call(operation.function) for operation in operations]


def calls(operations: Iterable[Operation], registers: list[Any], inputs: Iterable[int], output: int) -> list[Call]:
    """What must be called for the operations to be done again.

    Args:
        operations: in their order.
        registers: all tensors and constants as they were when the operations were done; the views and constants that
            need not be made again stay in them.
        inputs: registers that hold other tensors next time, of the same shapes, strides and dtypes.
        output: register of what is handed out, whose memory must be new each time.
    """
    operations = list(_with_vectors(operations, registers))
    plan = _Plan(operations, registers, inputs, output)
    for operation in operations:
        plan.add(operation)
    return plan.calls


class _Plan:
    """What is called, as far as the operations have been gone through.

    Args: as of `calls`.
    """

    def __init__(
        self, operations: Sequence[Operation], registers: list[Any], inputs: Iterable[int], output: int
    ) -> None:
        self.calls: list[Call] = []
        self._registers = registers
        self._handed_out = _memory(registers[output])
        writing = [operation for operation in operations if operation.writes_over]
        self._written = {_memory(registers[operation.registers[0]]) for operation in writing}
        made = {operation.result for operation in operations if not operation.writes_over}
        self._stays = set(range(len(registers))) - made - set(inputs)

    def add(self, operation: Operation) -> None:
        """Another operation."""
        result, arguments = self._registers[operation.result], [self._registers[each] for each in operation.registers]
        all_stay = self._stays.issuperset(operation.registers)
        memory, into = _memory(result), INTO.get(operation.name)
        if all_stay and (_is_view(operation, result, arguments) or self._is_constant(operation, memory, arguments)):
            self._stays.add(operation.result)
        elif into is None or memory is None or memory == self._handed_out:
            self.calls.append(operation.call(operation.function))
        else:
            call = operation.call(functools.partial(into, out=result))
            bound = (functools.partial(call[0], *arguments), _nothing, operation.result)
            self.calls.append(bound if all_stay else call)
            self._stays.add(operation.result)

    def _is_constant(self, operation: Operation, memory: int | None, arguments: Sequence[Any]) -> bool:
        """Whether a result is made of constants alone and nothing writes over it."""
        is_written = operation.writes_over or memory in self._written or memory == self._handed_out
        return memory is not None and not is_written and not any(map(_has_tensor, arguments))


def _with_vectors(operations: Iterable[Operation], registers: list[Any]) -> Iterator[Operation]:
    """The operations, with products of one row and a small weight as those of a vector.

    Of a weight of 128 × 128, `linear` takes 4.1 µs and `addmv` 3.1. BLAS sums up in the same order in both; where
    it did not, so that a bit of what was recorded differs, `linear` stays. The new tensors lie in registers behind the
    others.
    """
    vectors: dict[int, int] = {}  # register of a row → that of the row as a vector

    def new(value: Any) -> int:
        registers.append(value)
        return len(registers) - 1

    for operation in operations:
        product = _vector_product(operation, [registers[register] for register in operation.registers])
        result = registers[operation.result]
        if product is None or not torch.equal(product, result.view(-1)):
            yield operation
            continue
        row, weight, *others = operation.registers
        bias = [register for register in others if registers[register] is not None]
        if row not in vectors:
            vectors[row] = new(registers[row].view(-1))
            yield Operation(Tensor.view, (row, new(-1)), result=vectors[row])
        function = torch.addmv if bias else torch.mv
        vector = new(result.view(-1))
        yield Operation(function, (*bias, weight, vectors[row]), result=vector)
        yield Operation(Tensor.view, (vector, *map(new, result.shape)), result=operation.result)


def _vector_product(operation: Operation, arguments: Sequence[Any]) -> Tensor | None:
    """(O,) what `linear` gives for one row, as the product of a small weight and a vector; None for all else."""
    if operation.name != "linear" or operation.names or len(arguments) not in (2, 3):
        return None
    rows, weight_OI, *bias = arguments
    is_row = rows.numel() == rows.shape[-1] and rows.stride(-1) == 1
    if not is_row or weight_OI.numel() >= SMALLEST or weight_OI.dtype not in (torch.float32, torch.float64):
        return None
    row_I = rows.view(-1)
    return torch.addmv(bias[0], weight_OI, row_I) if bias and bias[0] is not None else torch.mv(weight_OI, row_I)


def _memory(value: Any) -> int | None:
    """Where a tensor's numbers lie; None where that cannot be told."""
    if type(value) not in (Tensor, nn.Parameter) or value.layout != torch.strided:
        return None
    return value.untyped_storage().data_ptr() or None


def _is_view(operation: Operation, result: Any, arguments: Sequence[Any]) -> bool:
    """Whether a result is a view of the first argument that hangs on no other tensor."""
    memory = _memory(result)
    if memory is None or operation.writes_over:
        return False
    return memory == _memory(arguments[0]) and not any(map(_has_tensor, arguments[1:]))


def _has_tensor(value: Any) -> bool:
    return isinstance(value, Tensor) or (isinstance(value, (tuple, list)) and any(map(_has_tensor, value)))


def _by_name(function: Any, names: tuple[str, ...], *arguments: Any) -> Any:
    """A call whose last arguments have these names."""
    count = len(arguments) - len(names)
    return function(*arguments[:count], **dict(zip(names, arguments[count:], strict=True)))


def _nothing(registers: list[Any]) -> tuple[()]:
    return ()
