"""Operations that are done again and again, without what is the same each time.

A list of operations says where their arguments and results lie (`recording.py` makes it). Much of it need not be done
again:

- a result can be written where it was written the first time (`out=`), so that its tensor stays;
- a view of a tensor that stays is the same view each time, whatever the numbers in it are; a view of a view of one that
  does not is made in one step;
- what is made of constants alone, such as `arange(8)`, is the same each time if nothing writes over it.

All numbers are the same, bit for bit: the same kernels write to tensors of the same shapes and strides. Products are
called by other names, where that gave the very bits that were recorded: those of one row (`_with_vectors`), and those
of several to which a bias is added (`_with_matrices`), for which `linear` has another kernel if it is given `out`.
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
    "addmm": torch.addmm,
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
the same order and by the same names. Some of `linear` cannot (`_differs_into`)."""


Call = tuple[Callable[..., Any], Callable[[list[Any]], Iterable[Any]] | None, int]
"""A function, what takes its arguments out of the registers (None: it has none), and the register of the result."""


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
        return function, operator.itemgetter(*self.registers) if self.registers else None, self.result


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
    operations = list(_with_matrices(_with_vectors(operations, registers), registers))
    plan = _Plan(operations, registers, inputs, output)
    for operation in operations:
        plan.add(operation)
    plan.need(output)
    return plan.calls


class _Plan:
    """What is called, as far as the operations have been gone through.

    A view of a tensor that does not stay is put off until something needs it, and then made in one step, of however
    many views it is a view.

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
        self._fresh: set[int] = set()  # of tensors that are made anew each time, in memory of their own
        self._put_off: dict[int, int] = {}  # view that nothing has needed yet → the fresh tensor that it shows

    def add(self, operation: Operation) -> None:
        """Another operation."""
        result, arguments = self._registers[operation.result], [self._registers[each] for each in operation.registers]
        is_view = _is_view(operation, result, arguments)
        all_stay = self._stays.issuperset(operation.registers)
        if all_stay and (is_view or self._is_constant(operation, result, arguments)):
            self._stays.add(operation.result)
        elif is_view and (base := self._base(operation.registers[0])) is not None:
            self._put_off[operation.result] = base
        else:
            for register in operation.registers:
                self.need(register)
            self._call(operation, result, arguments)

    def need(self, register: int) -> None:
        """Makes a view that has been put off."""
        base = self._put_off.pop(register, None)
        if base is not None:
            view = self._registers[register]
            where = [_new(self._registers, part) for part in (view.size(), view.stride(), view.storage_offset())]
            operation = Operation(Tensor.as_strided, (base, *where), result=register)
            self.calls.append(operation.call(operation.function))

    def _call(self, operation: Operation, result: Any, arguments: Sequence[Any]) -> None:
        memory = _memory(result)
        into = None if _differs_into(operation, arguments) else INTO.get(operation.name)
        if into is None or memory is None or memory == self._handed_out:
            self.calls.append(operation.call(operation.function))
            if memory not in (None, *map(_memory, arguments)) and result.storage_offset() == 0:
                self._fresh.add(operation.result)
            return
        call = operation.call(functools.partial(into, out=result))
        bound = (functools.partial(call[0], *arguments), None, operation.result)
        self.calls.append(bound if self._stays.issuperset(operation.registers) else call)
        self._stays.add(operation.result)

    def _base(self, register: int) -> int | None:
        return register if register in self._fresh else self._put_off.get(register)

    def _is_constant(self, operation: Operation, result: Any, arguments: Sequence[Any]) -> bool:
        """Whether a result is made of constants alone and nothing writes over it."""
        memory = _memory(result)
        is_written = operation.writes_over or memory in self._written or memory == self._handed_out
        return memory is not None and not is_written and not any(map(has_tensor, arguments))


def _with_vectors(operations: Iterable[Operation], registers: list[Any]) -> Iterator[Operation]:
    """The operations, with what is done to a single row done to it as a vector.

    Of a weight of 128 × 128, `linear` takes 4.1 µs and `addmv` 3.1. BLAS sums up in the same order in both; where
    it did not, so that a bit of what was recorded differs, `linear` stays. The new tensors lie in registers behind the
    others.
    """
    vectors: dict[int, int] = {}  # register of a row → that of the row as a vector
    for operation in operations:
        function, places = _on_vector(operation, [registers[place] for place in operation.registers])
        if function is None:
            yield operation
            continue
        row, result = operation.registers[0], registers[operation.result]
        vector = registers[row].view(-1)
        made = function(*(vector if place == row else registers[place] for place in places))
        if not torch.equal(made, result.view(-1)):
            yield operation
            continue
        if row not in vectors:
            vectors[row] = _new(registers, vector)
            yield Operation(Tensor.view, (row, _new(registers, -1)), result=vectors[row])
        vectors[operation.result] = written = _new(registers, result.view(-1))
        yield Operation(function, tuple(vectors[row] if place == row else place for place in places), result=written)
        yield Operation(Tensor.view, (written, _new(registers, result.shape)), result=operation.result)


def _on_vector(operation: Operation, arguments: Sequence[Any]) -> tuple[Callable[..., Any] | None, Sequence[int]]:
    """What does the same to a vector, and the registers of its arguments, that of the row for the vector; or None."""
    if operation.name not in ("linear", "layer_norm") or operation.names or operation.constants:
        return None, ()
    rows, places = arguments[0], operation.registers
    is_row = rows.numel() == rows.shape[-1] and rows.stride(-1) == 1 and rows.dtype in (torch.float32, torch.float64)
    if not is_row or operation.name == "layer_norm":
        return operation.function if is_row else None, places
    if arguments[1].numel() >= SMALLEST:
        return None, ()
    bias = [place for place, argument in zip(places[2:], arguments[2:], strict=True) if argument is not None]
    return torch.addmv if bias else torch.mv, (*bias, places[1], places[0])


def _differs_into(operation: Operation, arguments: Sequence[Any]) -> bool:
    """Whether torch does something else where it is given `out`.

    Its `linear` then rounds a product before it adds the bias, unless rows are 2-D, and makes a row of a vector.
    """
    if operation.name != "linear":
        return False
    has_bias = len(arguments) > 2 and arguments[2] is not None
    return bool(operation.names) or arguments[0].dim() < 2 or (has_bias and arguments[0].dim() > 2)


def _with_matrices(operations: Iterable[Operation], registers: list[Any]) -> Iterator[Operation]:
    """The operations, with a `linear` that `_differs_into` as what torch makes of it without: an `addmm` of its rows.

    Where a bit of what was recorded differs, `linear` stays, and its result is made anew each time.
    """
    for operation in operations:
        arguments, result = [registers[place] for place in operation.registers], registers[operation.result]
        is_sum = _differs_into(operation, arguments) and not operation.names and len(arguments) == 3
        if not is_sum or arguments[2] is None or not arguments[0].is_contiguous():
            yield operation
            continue
        rows, weight, bias = arguments
        matrix, columns = rows.view(-1, rows.shape[-1]), weight.t()
        if not torch.equal(torch.addmm(bias, matrix, columns).view(result.shape), result):
            yield operation
            continue
        row, weights, written = (_new(registers, made) for made in (matrix, columns, result.view(-1, len(weight))))
        yield Operation(Tensor.view, (operation.registers[0], _new(registers, matrix.shape)), result=row)
        yield Operation(Tensor.t, (operation.registers[1],), result=weights)
        yield Operation(torch.addmm, (operation.registers[2], row, weights), result=written)
        yield Operation(Tensor.view, (written, _new(registers, result.shape)), result=operation.result)


def _new(registers: list[Any], value: Any) -> int:
    """A register that holds the value."""
    registers.append(value)
    return len(registers) - 1


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
    return memory == _memory(arguments[0]) and not any(map(has_tensor, arguments[1:]))


def has_tensor(value: Any) -> bool:
    """Whether a value is a tensor, or holds one."""
    return isinstance(value, Tensor) or (isinstance(value, (tuple, list)) and any(map(has_tensor, value)))


def _by_name(function: Any, names: tuple[str, ...], *arguments: Any) -> Any:
    """A call whose last arguments have these names."""
    count = len(arguments) - len(names)
    return function(*arguments[:count], **dict(zip(names, arguments[count:], strict=True)))
