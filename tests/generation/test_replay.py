"""What is done again gives the same bits as the first time, and hands out tensors of its own."""

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from zoo.generation.recording import Repeated
from zoo.generation.replay import INTO
from zoo.nn.few_rows import SMALLEST

OTHER = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
WEIGHT = torch.randn(5, 4, generator=torch.Generator().manual_seed(1))
TABLE = torch.arange(12.0).view(4, 3)


@pytest.fixture(autouse=True)
def _no_gradients() -> Iterator[None]:
    with torch.inference_mode():
        yield


def numbers(count: int = 6, rows: int = 3) -> list[Tensor]:
    return list(torch.randn(count, rows, 4, generator=torch.Generator().manual_seed(2)))


DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16]
ROWS = [1, 2, 3, 8, 10, 16]
WIDTH = 56


def drawn(dtype: torch.dtype, *shapes: tuple[int, ...], seed: int = 2) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype) for shape in shapes]


WEIGHTS = {dtype: drawn(dtype, (96, WIDTH), (96,), seed=1) for dtype in DTYPES}


def is_same(one: Tensor, other: Tensor) -> bool:
    return one.dtype == other.dtype and torch.equal(one.nan_to_num(9), other.nan_to_num(9))


def linear(x: Tensor, *, bias: bool = True) -> Tensor:
    return functional.linear(x, *WEIGHTS[x.dtype][: 2 if bias else 1])


OPERATIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "__and__": lambda x, y: (x > 0) & (y > 0),
    "__eq__": lambda x, y: x.floor() == y.floor(),
    "__ge__": lambda x, y: x.floor() >= y.floor(),
    "__gt__": lambda x, y: x.floor() > y.floor(),
    "__invert__": lambda x, y: ~(x > 0),
    "__le__": lambda x, y: x.floor() <= y.floor(),
    "__lt__": lambda x, y: x.floor() < y.floor(),
    "__or__": lambda x, y: (x > 0) | (y > 0),
    "add": lambda x, y: x.add(y, alpha=2),
    "addmm": lambda x, y: torch.addmm(y[:, 0], x[:, 0], WEIGHTS[x.dtype][0][:WIDTH]),
    "addmv": lambda x, y: torch.addmv(y[:, 0, 0], x[:, 0], y[0, 0], beta=2),
    "cat": lambda x, y: torch.cat((x, y), dim=1),
    "eq": lambda x, y: x.floor().eq(0),
    "ge": lambda x, y: torch.ge(x, y),
    "gelu": lambda x, y: functional.gelu(x, approximate="tanh"),
    "gt": lambda x, y: torch.gt(x, y),
    "le": lambda x, y: torch.le(x, y),
    "linear": lambda x, y: linear(x),
    "lt": lambda x, y: x.lt(1),
    "mul": lambda x, y: x.mul(y) if len(x) % 2 else x.mul(3),
    "mv": lambda x, y: torch.mv(x[:, 0], y[0, 0]),
    "rsqrt": lambda x, y: x.rsqrt(),
    "sigmoid": lambda x, y: torch.sigmoid(x),
    "sub": lambda x, y: torch.sub(x, y, alpha=3),
    "tanh": lambda x, y: x.tanh(),
}


def assert_same_bits(function: Callable[..., Tensor], inputs: list[list[Tensor]]) -> Tensor:
    """Done again, the function gives what it gives; returns the result that was recorded, which is written over.

    The result goes on into another operation; handed out itself it would be made anew.
    """
    made: list[Tensor] = []

    def and_on(*tensors: Tensor) -> Tensor:
        made.append(function(*tensors))
        return made[-1].flip(0)

    repeated = Repeated(and_on)
    outputs = [repeated(*tensors) for tensors in inputs]
    assert repeated._recording is not None
    for tensors, output in zip(inputs, outputs, strict=True):
        assert is_same(output, function(*tensors).flip(0))
    return made[1]  # of the second call, which became the recording


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", INTO)
def test_what_is_written_where_it_was_has_the_same_bits(name: str, dtype: torch.dtype) -> None:
    for rows in ROWS:
        shape = (rows, 1, WIDTH)
        inputs = [drawn(dtype, shape, shape, seed=seed) for seed in range(6)]
        stays = assert_same_bits(OPERATIONS[name], inputs)
        assert is_same(stays, OPERATIONS[name](*inputs[-1]))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_products_of_every_shape_have_the_same_bits(dtype: torch.dtype, bias: bool) -> None:
    """torch's own `linear` does something else for some of them where it is given `out`."""
    weight, added = WEIGHTS[dtype]
    shapes = [(WIDTH,), (1, WIDTH), (10, WIDTH), (10, 1, WIDTH), (1, 10, WIDTH), (5, 2, WIDTH), (2, 5, 1, WIDTH)]
    for shape in shapes:
        inputs = [drawn(dtype, shape, seed=seed) for seed in range(6)]
        assert_same_bits(lambda x: linear(x, bias=bias), inputs)
        assert_same_bits(lambda x: linear(x.unsqueeze(0)[..., :WIDTH], bias=bias), inputs)
        parts = [drawn(dtype, (*shape[:-1], WIDTH + 4), seed=seed) for seed in range(6)]
        assert_same_bits(lambda x: linear(x[..., :WIDTH], bias=bias), parts)
        assert_same_bits(lambda x: functional.linear(x, weight=weight, bias=added if bias else None), inputs)


def test_rows_and_a_bias_are_multiplied_as_a_matrix_where_that_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = [drawn(torch.bfloat16, (10, 1, WIDTH), seed=seed) for seed in range(6)]

    def is_written_over() -> bool:
        return is_same(assert_same_bits(linear, inputs), linear(*inputs[-1]))

    assert is_written_over()
    exact = torch.addmm
    monkeypatch.setattr(torch, "addmm", lambda *arguments: exact(*arguments) * 1.25)
    assert not is_written_over()


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x + 1,
        lambda x: (x * 2).view(-1)[1:],
        lambda x: (x * 2 + 1).T[None],
        lambda x: functional.linear(x[:1], WEIGHT)[:, :3],
        lambda x: (x + 1).chunk(2)[1],
    ],
)
def test_what_is_handed_out_is_never_written_over(function: Callable[[Tensor], Tensor]) -> None:
    repeated, rows = Repeated(function), numbers()
    outputs = [repeated(x) for x in rows]
    assert repeated._recording is not None
    assert all(torch.equal(output, function(x)) for x, output in zip(rows, outputs, strict=True))


def test_constants_are_handed_out_anew() -> None:
    repeated = Repeated(lambda x: torch.arange(3))
    outputs = [repeated(x) for x in numbers()]
    outputs[-2].add_(1)
    assert torch.equal(outputs[-1], torch.arange(3))
    assert torch.equal(repeated(numbers()[0]), torch.arange(3))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: TABLE[x[0, 0].abs().long().clamp(0, 1).add(1)] * 1,
        lambda x: TABLE.T[:, x[0, 0].abs().long().clamp(0, 1).add(1)] * 1,
        lambda x: TABLE[x[0].abs().long().clamp(0, 1).add(1)] * 1,
    ],
)
def test_what_is_taken_by_number_is_no_view_that_stays(function: Callable[[Tensor], Tensor]) -> None:
    """An index of no dimension gives a view, whose place the number says."""
    repeated, rows = Repeated(function), [x * 2 for x in numbers(12)]
    outputs = [repeated(x) for x in rows]
    assert len({tuple(output.flatten().tolist()) for output in outputs}) > 1
    assert all(torch.equal(output, function(x)) for x, output in zip(rows, outputs, strict=True))


def test_views_and_constants_are_made_once() -> None:
    def function(x: Tensor) -> Tensor:
        places = torch.arange(4).view(2, 2)
        hidden = (x[:, :1] + places.flatten()).transpose(0, 1)[None].expand(2, 4, 3)
        return hidden.flip(0)

    repeated = Repeated(function)
    for x in numbers():
        assert torch.equal(repeated(x), function(x))
    assert repeated._recording is not None
    assert len(repeated._recording.calls) == 3  # what is taken of x, the sum, and flip


def written_meanwhile(x: Tensor) -> Tensor:
    fresh = x.flip(0)
    seen = fresh.transpose(0, 1)[1:]
    fresh.mul_(2)
    return seen.flip(0)


def written_through_a_view(x: Tensor) -> Tensor:
    fresh = x.flip(0)
    fresh[1:].transpose(0, 1).mul_(3)
    return fresh.flip(1)


def of_a_part(x: Tensor) -> Tensor:
    first, second = x.flip(0).chunk(2, dim=1)
    return torch.cat((second.T[:, None], first.T[:, None]), dim=1).flip(0)


def of_an_input(x: Tensor) -> Tensor:
    return x[1:].T.reshape(-1).unflatten(0, (4, 2)).flip(0)


def of_a_whole_input(x: Tensor) -> Tensor:
    return x.T.unsqueeze(0).flip(0)


def needed_twice(x: Tensor) -> Tensor:
    turned = x.flip(0).T
    return turned.flip(0) * turned.flip(1)


def never_needed(x: Tensor) -> Tensor:
    fresh = x.flip(0)
    fresh.transpose(0, 1)[2:].unsqueeze(0)
    return fresh.sum(0)


def handed_out(x: Tensor) -> Tensor:
    return x.flip(0).transpose(0, 1)[1:3]


CALLS: dict[Callable[[Tensor], Tensor], int] = {
    written_meanwhile: 4,
    written_through_a_view: 4,
    of_a_part: 10,  # of the second part, which begins within its memory, the views one by one
    of_an_input: 5,
    of_a_whole_input: 3,
    needed_twice: 5,
    never_needed: 2,
    handed_out: 2,
}


@pytest.mark.parametrize("function, calls", CALLS.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_views_of_what_does_not_stay_are_made_when_they_are_needed(
    function: Callable[[Tensor], Tensor], calls: int
) -> None:
    repeated = Repeated(function)
    inputs = [x.clone() for x in numbers()] + numbers()  # at the beginning of their memory, and within
    outputs = [repeated(x) for x in inputs]
    assert repeated._recording is not None
    assert all(torch.equal(output, function(x)) for x, output in zip(inputs, outputs, strict=True))
    assert len(repeated._recording.calls) == calls


def test_inputs_of_other_strides_begin_anew() -> None:
    repeated = Repeated(lambda x: x.exp().T[1:].flip(0))
    for x in numbers(8):
        for laid_out in (x, x.T.contiguous().T, x):
            assert torch.equal(repeated(laid_out), laid_out.exp().T[1:].flip(0))


def test_numbers_of_constants_may_change() -> None:
    """Weights are trained further, buffers filled: what was taken of them is a view, never a copy."""
    weight = nn.Parameter(WEIGHT.clone(), requires_grad=False)

    def function(x: Tensor) -> Tensor:
        return functional.linear(x[:1] * weight.T[:, 0], weight[1:], weight[:4, 1]) + weight.view(-1)[3]

    repeated = Repeated(function)
    for x in numbers(8):
        assert torch.equal(repeated(x), function(x))
        weight.mul_(1.5)
    assert repeated._recording is not None


def test_one_row_is_multiplied_as_a_vector_where_that_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def names(weight: Tensor, rows: int = 1, bias: Tensor | None = None) -> set[str]:
        repeated = Repeated(lambda x: functional.linear(x, weight, bias).flip(0))
        x = torch.randn(rows, weight.shape[1], generator=torch.Generator().manual_seed(3)).to(weight.dtype)
        for factor in range(4):
            expected = functional.linear(x * factor, weight, bias).flip(0)
            assert torch.equal(repeated(x * factor), expected)
        assert repeated._recording is not None
        called = [call[0].func if hasattr(call[0], "func") else call[0] for call in repeated._recording.calls]
        called = [function.func if hasattr(function, "func") else function for function in called]
        return {function.__name__ for function in called} & {"linear", "mv", "addmv"}

    assert names(WEIGHT) == {"mv"}
    assert names(WEIGHT.double(), bias=WEIGHT[:, 1].double()) == {"addmv"}
    assert names(WEIGHT, rows=2) == {"linear"}
    assert names(WEIGHT.bfloat16()) == {"linear"}
    assert names(torch.randn(SMALLEST // 64, 64)) == {"linear"}
    exact = torch.mv
    monkeypatch.setattr(torch, "mv", lambda matrix, vector: exact(matrix, vector) * (1 + 2**-20))
    assert names(WEIGHT) == {"linear"}


def test_leaving_inference_mode_begins_anew() -> None:
    """A tensor that was made inside may not be written over outside."""
    repeated, x = Repeated(lambda x: (x * 2 + 1).flip(0)), numbers()[0].clone()
    for inside in (True, False, True):
        with torch.inference_mode(inside), torch.no_grad():
            for _ in range(4):
                assert torch.equal(repeated(x), (x * 2 + 1).flip(0))
            assert repeated._recording is not None
