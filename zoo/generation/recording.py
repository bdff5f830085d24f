"""A step of decoding as a list of operations, without the modules around them.

A step is some hundred operations, of a small model of a few microseconds each. The modules, shapes and checks in Python
between them take longer than they do. Where keys and values lie in buffers of a fixed shape, each step does the same
operations on other numbers. So one is watched while it works (`Recorder`), and from then on what it did is done again
(`Recording`), in the same order on the same weights and buffers: the same numbers, bit for bit. CUDA graphs do the same
for a GPU.

Only what is safe is recorded. An operation whose result is not a tensor tells Python something about numbers that may
be others next time (`int(length)`, `mask.any()`); there, and where an argument is neither a tensor nor a plain value,
no recording is made.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from zoo.nn.watched import recording

ABOUT_SHAPES = {"__get__", "__len__", "dim", "element_size", "is_contiguous", "is_floating_point", "numel", "size"}
"""Names of operations that tell of shapes, dtypes and devices, on which a recording relies; `__get__`: attributes."""
CONSTANT = {"arange"}
"""Names of operations that give the same each time; as views of it are the same too, they are done once."""
VIEWS = {"__getitem__", "expand", "view"}
PLAIN = (int, float, bool, str, type(None), type(...), torch.dtype, torch.device, torch.layout, torch.memory_format)
"""Types of arguments that stay as they are."""


class Operation(NamedTuple):
    """One call.

    Attributes:
        function: what is called.
        arguments: takes them out of the registers.
        result: register of what it returns.
    """

    function: Callable[..., Any]
    arguments: Callable[[list[Any]], Iterable[Any]]
    result: int


class Recording(NamedTuple):
    """What a function of tensors did, to be done again on others of the same shapes.

    Attributes:
        operations: in their order.
        registers: constants, and room for inputs and results.
        inputs: registers of the inputs.
        output: register of the output.
    """

    operations: list[Operation]
    registers: list[Any]
    inputs: list[int]
    output: int

    def __call__(self, *inputs: Tensor) -> Tensor:
        """The output for these inputs."""
        registers = self.registers
        for register, tensor in zip(self.inputs, inputs, strict=True):
            registers[register] = tensor
        for function, arguments, result in self.operations:
            registers[result] = function(*arguments(registers))
        output: Tensor = registers[self.output]
        return output


class Recorder(TorchFunctionMode):
    """Takes down what is done while it is entered, without changing it.

    Args:
        inputs: tensors that will be others next time; all that are not made of them stay what they are.
    """

    def __init__(self, inputs: Sequence[Tensor]) -> None:
        super().__init__()
        self._operations: list[Operation] = []
        self._registers: list[Any] = []
        self._known: dict[int, int] = {}  # id of a tensor → its register, which keeps it alive
        self._constants: set[int] = set()  # registers of results that are the same each time
        self._refused = False
        self._inputs = [self._new(tensor) for tensor in inputs]

    def __torch_function__(
        self, function: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Calls the function, and takes it down."""
        result = function(*args, **(kwargs or {}))
        if not self._refused:
            self._take_down(function, args, kwargs or {}, result)
        return result

    def recording(self, output: Tensor) -> Recording | None:
        """What was done, where all of it can be done again; None elsewhere."""
        register = self._known.get(id(output))
        if self._refused or register is None:
            return None
        return Recording(self._operations, self._registers, self._inputs, register)

    def _take_down(self, function: Any, args: Sequence[Any], kwargs: dict[str, Any], result: Any) -> None:
        name, in_place = function.__name__, function.__name__.endswith("_") or "out" in kwargs
        if isinstance(result, Tensor):
            if in_place or not any(result is argument for argument in args):  # else it has done nothing (dropout)
                call, register = self._call(function, args, kwargs), self._register(result)
                self._refused |= register in self._constants  # it has been written over
                if name in CONSTANT or (name in VIEWS and self._constants.issuperset(call[1])):
                    self._constants.add(register)
                else:
                    self._add(call, register)
        elif isinstance(result, (tuple, list)) and result and all(isinstance(part, Tensor) for part in result):
            whole = self._new(result)
            self._add(self._call(function, args, kwargs), whole)
            for index, part in enumerate(result):
                self._add((operator.itemgetter(index), [whole]), self._register(part))
        elif name == "__setitem__":
            self._add(self._call(function, args, kwargs), self._new(None))
        elif name not in ABOUT_SHAPES:
            self._refused |= _has_tensor([*args, *kwargs.values()])

    def _call(self, function: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> tuple[Any, list[int]]:
        """A function of registers alone, and which these are; those of arguments that have a name come last."""
        constants = {name: value for name, value in kwargs.items() if not _has_tensor(value)}
        self._refused |= not all(map(_is_plain, constants.values()))
        named = {name: value for name, value in kwargs.items() if name not in constants}
        if constants:
            function = functools.partial(function, **constants)
        if named:
            function = functools.partial(_by_name, function, tuple(named))
        return function, [self._register(argument) for argument in (*args, *named.values())]

    def _add(self, call: tuple[Any, list[int]], result: int) -> None:
        function, registers = call
        self._operations.append(Operation(function, _taking(registers), result))

    def _new(self, value: Any) -> int:
        self._registers.append(value)
        if isinstance(value, Tensor):
            self._known[id(value)] = len(self._registers) - 1
        return len(self._registers) - 1

    def _register(self, value: Any) -> int:
        """Where an argument or a result lies."""
        if isinstance(value, Tensor):
            known = self._known.get(id(value))
            return self._new(value) if known is None else known
        if type(value) in (tuple, list) and _has_tensor(value):
            registers, result = [self._register(item) for item in value], self._new(None)
            self._operations.append(Operation(_list, _taking(registers), result))
            return result
        self._refused |= not _is_plain(value)
        register = self._new(value)
        self._constants.add(register)
        return register


def _by_name(function: Any, names: tuple[str, ...], *arguments: Any) -> Any:
    """A call whose last arguments have these names."""
    count = len(arguments) - len(names)
    return function(*arguments[:count], **dict(zip(names, arguments[count:], strict=True)))


def _list(*items: Any) -> list[Any]:
    return list(items)


def _taking(registers: Sequence[int]) -> Callable[[list[Any]], Iterable[Any]]:
    """What takes these out of all registers, in their order."""
    if len(registers) == 1:
        return operator.itemgetter(slice(registers[0], registers[0] + 1))
    return operator.itemgetter(*registers) if registers else _nothing


def _nothing(registers: list[Any]) -> tuple[()]:
    return ()


def _has_tensor(value: Any) -> bool:
    return isinstance(value, Tensor) or (isinstance(value, (tuple, list)) and any(map(_has_tensor, value)))


def _is_plain(value: Any) -> bool:
    if isinstance(value, slice):
        return all(isinstance(part, (int, type(None))) for part in (value.start, value.stop, value.step))
    return isinstance(value, PLAIN) or (isinstance(value, (tuple, list)) and all(map(_is_plain, value)))


class Repeated:
    """A function of tensors that is called again and again; from the second time in the same shapes on, a recording.

    Args:
        function: called with what was given to the call; None stays None. All else that it reads must lie in tensors
            that are the same each time, whose numbers may change.
    """

    def __init__(self, function: Callable[..., Tensor]) -> None:
        self._function = function
        self.forget()

    def forget(self) -> None:
        """Begins anew: some tensor that the function reads has been replaced."""
        self._shapes: tuple[torch.Size | None, ...] = ()
        self._recording: Recording | None = None
        self._is_refused = False

    def __call__(self, *inputs: Tensor | None) -> Tensor:
        """What the function gives for these inputs."""
        tensors = [tensor for tensor in inputs if tensor is not None]
        shapes = tuple(None if tensor is None else tensor.shape for tensor in inputs)
        if shapes != self._shapes:
            self.forget()
            self._shapes = shapes
        elif self._recording is not None:
            return self._recording(*tensors)
        elif not self._is_refused and not torch.is_grad_enabled():
            return self._recorded(inputs, tensors)
        return self._function(*inputs)

    def _recorded(self, inputs: Sequence[Tensor | None], tensors: list[Tensor]) -> Tensor:
        recorder = Recorder(tensors)
        with recording(), recorder:
            output = self._function(*inputs)
        self._recording = recorder.recording(output)
        self._is_refused = self._recording is None
        return output
