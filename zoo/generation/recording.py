"""A step of decoding as a list of operations, without the modules around them.

A step is some hundred operations, of a small model of a few microseconds each. The modules, shapes and checks in Python
between them take longer than they do. Where keys and values lie in buffers of a fixed shape, each step does the same
operations on other numbers. So steps are watched while they work (`Recorder`), and from then on what they did is done
again (`Recording`), in the same order on the same weights and buffers: the same numbers, bit for bit. CUDA graphs do
the same for a GPU.

A recording is made only where it must be right:

- of operations that are known to give, for tensors of the same shapes, tensors of the same shapes, and to write over
  nothing but their first argument (`PURE`, `IN_PLACE`). What tells Python of numbers (`int(length)`, `mask.any()`),
  what has as many results as the numbers say (`nonzero`, a boolean index) and what is not known is not recorded;
- if two steps in a row did the same, on the very same weights and buffers. So what a step takes from Python or from
  code that cannot be watched would have to be the same twice, and is then taken for constant.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from zoo.generation.replay import IN_PLACE, Operation, calls, calls_as_they_were, has_tensor
from zoo.nn.watched import recording

PURE = frozenset(
    """
    __and__ __eq__ __ge__ __get__ __getitem__ __gt__ __invert__ __le__ __lt__ __ne__ __or__ __rpow__ __rsub__ abs
    add addmm addmv amax amin arange argmax argsort baddbmm bmm cat ceil chunk clamp clone contiguous cos cumsum
    detach div double dropout einsum elu embedding eq erf exp expand expand_as flatten flip float floor full
    full_like gather ge gelu gt index_select layer_norm le leaky_relu lerp linear log log_softmax logsumexp long lt
    masked_fill matmul max maximum mean min minimum mish mm mul mv narrow ne neg new_full new_ones new_zeros norm
    ones ones_like pad permute pow reciprocal relu repeat_interleave reshape rms_norm roll rsqrt
    scaled_dot_product_attention select sigmoid sign silu sin softmax softplus split sqrt square squeeze stack sub
    sum tanh tensor to topk transpose tril triu type_as unbind unflatten unsqueeze view view_as where zeros
    zeros_like
    """.split()  # noqa: SIM905  (a list would have a line for each)
)
"""Names of operations that write over nothing and whose results have shapes that follow from those of their arguments;
`__get__` is an attribute. One that gives back its own argument has done nothing (dropout in evaluation)."""
ABOUT_SHAPES = frozenset(
    """
    __get__ __len__ dim element_size is_contiguous is_floating_point numel size stride
    """.split()  # noqa: SIM905  (a list would have a line for each)
)
"""Names of operations that tell of shapes, dtypes and devices, on which a recording relies."""
PLAIN = frozenset(
    (int, float, bool, str, type(None), type(...), torch.dtype, torch.device, torch.layout, torch.memory_format)
)
"""Types of arguments that stay as they are."""


class Recording:
    """What a function of tensors did, to be done again on others of the same shapes.

    Args:
        operations: in their order.
        registers: constants, and room for inputs and results.
        inputs: registers of the inputs.
        output: register of the output.
    """

    def __init__(self, operations: list[Operation], registers: list[Any], inputs: list[int], output: int) -> None:
        is_plain = not _autocast()[0]  # in which `out` says in which dtype
        self.calls = calls(operations, registers, inputs, output) if is_plain else calls_as_they_were(operations)
        self.registers, self._inputs, self._output = registers, inputs, output

    def __call__(self, *inputs: Tensor) -> Tensor:
        """The output for these inputs."""
        registers = self.registers
        for register, tensor in zip(self._inputs, inputs, strict=True):
            registers[register] = tensor
        for function, arguments, result in self.calls:
            registers[result] = function() if arguments is None else function(*arguments(registers))
        output: Tensor = registers[self._output]
        return output


class Recorder(TorchFunctionMode):
    """Takes down what is done while it is entered, without changing it.

    Args:
        inputs: tensors that will be others next time.
    """

    def __init__(self, inputs: Sequence[Tensor]) -> None:
        super().__init__()
        self._operations: list[Operation] = []
        self._registers: list[Any] = []
        self._known: dict[int, int] = {}  # id of a tensor → its register, which keeps it alive
        self._constants: list[int] = []  # registers of what was neither an input nor a result
        self._autocast = _autocast()
        self._refused = False
        self._inputs = [self._new(tensor) for tensor in inputs]

    def __torch_function__(
        self, function: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Calls the function, and takes it down."""
        result = function(*args, **kwargs) if kwargs else function(*args)
        name, is_tensor = getattr(function, "__name__", ""), isinstance(result, Tensor)
        if (name in ABOUT_SHAPES and not is_tensor) or self._refused or torch.compiler.is_compiling():
            return result  # what is compiled is not watched
        if name in IN_PLACE or (name in PURE and (is_tensor or _is_all_tensors(result))):
            self._take_down(function, name, args, kwargs or {}, result)
        else:
            self._refused = has_tensor([*args, *(kwargs or {}).values()]) or has_tensor(result)
        return result

    def is_whole(self, output: Tensor) -> bool:
        """Whether all of what was done can be done again."""
        return not self._refused and id(output) in self._known

    def recording(self, output: Tensor) -> Recording:
        """What was done."""
        return Recording(self._operations, self._registers, self._inputs, self._known[id(output)])

    def did_the_same_as(self, other: Recorder) -> bool:
        """Whether both did the same operations, with the very same tensors where these were not inputs or results."""
        return (
            self._operations == other._operations
            and self._constants == other._constants
            and all(_is_same(self._registers[place], other._registers[place]) for place in self._constants)
        )

    def _take_down(self, function: Any, name: str, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> None:
        if name not in IN_PLACE and _is_among(result, args):
            self._refused = bool(kwargs.get("inplace"))  # else it has done nothing
            return
        if _autocast() != self._autocast or (name in SHAPED_BY and not SHAPED_BY[name](args, kwargs)):
            self._refused = True
            return
        registers = list(map(self._argument, args))
        constants: dict[str, Any] = {}
        names: list[str] = []
        for key, value in kwargs.items():
            if has_tensor(value):
                names.append(key)
                registers.append(self._argument(value))
            else:
                constants[key] = value
                self._refused |= not _is_plain(value)
        whole = self._result(result)
        self._operations.append(Operation(function, tuple(registers), tuple(names), constants, whole))
        if isinstance(result, (tuple, list)):
            for index, part in enumerate(result):
                taken = (whole, self._argument(index))
                self._operations.append(Operation(operator.getitem, taken, result=self._result(part)))

    def _new(self, value: Any) -> int:
        register = len(self._registers)
        self._registers.append(value)
        if isinstance(value, Tensor):
            self._known[id(value)] = register
        return register

    def _result(self, value: Any) -> int:
        """Where a result lies: in a register of its own, or where it is what an operation wrote over."""
        known = self._known.get(id(value))
        return self._new(value) if known is None else known

    def _argument(self, value: Any) -> int:
        """Where an argument lies."""
        known = self._known.get(id(value))  # what is known is alive, so that nothing else has its id
        if known is not None:
            return known
        if type(value) in (tuple, list) and has_tensor(value):
            registers, result = tuple(map(self._argument, value)), self._new(None)
            together = _tuple if isinstance(value, tuple) else _list  # an index with a list means another thing
            self._operations.append(Operation(together, registers, result=result))
            return result
        self._refused |= not (_is_plain(value) or isinstance(value, Tensor))
        register = self._new(value)
        self._constants.append(register)
        return register


def _list(*items: Any) -> list[Any]:
    return list(items)


def _tuple(*items: Any) -> tuple[Any, ...]:
    return items


def _autocast() -> tuple[bool, torch.dtype]:
    """In which dtype products are computed now; no part of what an operation is told."""
    return torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")


def _is_among(result: Any, args: Sequence[Any]) -> bool:
    return any(result is argument for argument in args)


def _has_no_mask(args: Sequence[Any], _: Mapping[str, Any]) -> bool:
    """Whether no index of `x[indices]` is a mask, which has as many places as its numbers say."""
    indices = args[1] if isinstance(args[1], (tuple, list)) else [args[1]]
    return not any(isinstance(index, Tensor) and index.dtype in (torch.bool, torch.uint8) for index in indices)


def _has_three(args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Whether `where` is given what to choose from; without, it gives the places where a mask is true."""
    return len(args) + len(kwargs) == 3


def _has_no_tensor(args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    return not has_tensor([*args, *kwargs.values()])


def _has_one_tensor(args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    return _has_no_tensor(args[1:], kwargs)


SHAPED_BY: Mapping[str, Callable[[Sequence[Any], Mapping[str, Any]], bool]] = {
    "__getitem__": _has_no_mask,
    "__setitem__": _has_no_mask,
    "where": _has_three,
    "arange": _has_no_tensor,
    "full": _has_no_tensor,
    "ones": _has_no_tensor,
    "zeros": _has_no_tensor,
    "repeat_interleave": _has_one_tensor,
}
"""Name → whether the shape of a result follows from shapes, where that depends on how the operation is called."""


def _is_all_tensors(value: Any) -> bool:
    return isinstance(value, (tuple, list)) and bool(value) and all(isinstance(part, Tensor) for part in value)


def _layout(tensor: Tensor) -> tuple[Any, ...]:
    return tensor.shape, tensor.stride(), tensor.dtype


def _is_plain(value: Any) -> bool:
    if type(value) in PLAIN:
        return True
    if isinstance(value, slice):
        return all(isinstance(part, (int, type(None))) for part in (value.start, value.stop, value.step))
    return isinstance(value, (tuple, list)) and all(map(_is_plain, value))


def _is_same(one: Any, other: Any) -> bool:
    """Whether two constants are the same: tensors by identity, all else by type and value."""
    return one is other or (not isinstance(one, Tensor) and type(one) is type(other) and bool(one == other))


TRIES = 3
"""So many calls are watched until two in a row do the same; the first may do what is done only once."""


class Repeated:
    """A function of tensors that is called again and again; where two calls in a row did the same, a recording.

    Args:
        function: called with what was given to the call; None stays None. All else that it reads must lie in tensors
            that are the same each time, whose numbers may change.
    """

    def __init__(self, function: Callable[..., Tensor]) -> None:
        self._function = function
        self.forget()

    def forget(self) -> None:
        """Begins anew: some tensor that the function reads has been replaced."""
        self._key: tuple[Any, ...] = ()
        self._recorder: Recorder | None = None
        self._recording: Recording | None = None
        self._tries_left = TRIES

    def __call__(self, *inputs: Tensor | None) -> Tensor:
        """What the function gives for these inputs."""
        tensors = [tensor for tensor in inputs if tensor is not None]
        key = (
            _autocast(),
            torch.is_inference_mode_enabled(),
            *(None if tensor is None else _layout(tensor) for tensor in inputs),
        )
        if key != self._key:
            self.forget()
            self._key = key
        if self._recording is not None:
            return self._recording(*tensors)
        if self._tries_left and not torch.is_grad_enabled():
            return self._watched(inputs, tensors)
        return self._function(*inputs)

    def _watched(self, inputs: Sequence[Tensor | None], tensors: list[Tensor]) -> Tensor:
        earlier, self._recorder = self._recorder, Recorder(tensors)
        with recording(), self._recorder:
            output = self._function(*inputs)
        is_whole = self._recorder.is_whole(output)
        if is_whole and earlier is not None and self._recorder.did_the_same_as(earlier):
            self._recording = self._recorder.recording(output)
        self._tries_left = 0 if self._recording or not is_whole else self._tries_left - 1
        if not self._tries_left:
            self._recorder = None
        return output
