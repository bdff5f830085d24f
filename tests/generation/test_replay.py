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


OPERATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "__and__": lambda x: (x > 0) & (OTHER > 0),
    "__eq__": lambda x: x == OTHER,
    "__ge__": lambda x: x >= OTHER,
    "__gt__": lambda x: x > OTHER,
    "__invert__": lambda x: ~(x > 0),
    "__le__": lambda x: x <= OTHER,
    "__lt__": lambda x: x < OTHER,
    "__or__": lambda x: (x > 0) | (OTHER > 0),
    "add": lambda x: x.add(OTHER, alpha=2),
    "addmv": lambda x: torch.addmv(x[0], OTHER.T, x[1, :3], beta=2),
    "cat": lambda x: torch.cat((x, OTHER), dim=1),
    "eq": lambda x: x.eq(0),
    "ge": lambda x: torch.ge(x, OTHER),
    "gelu": lambda x: functional.gelu(x, approximate="tanh"),
    "gt": lambda x: torch.gt(x, OTHER),
    "le": lambda x: torch.le(x, OTHER),
    "linear": lambda x: functional.linear(x, WEIGHT, WEIGHT[:, 0]),
    "lt": lambda x: x.lt(1),
    "mul": lambda x: x.mul(3),
    "mv": lambda x: torch.mv(OTHER.T, x[1, :3]),
    "rsqrt": lambda x: x.rsqrt(),
    "sigmoid": lambda x: torch.sigmoid(x),
    "sub": lambda x: torch.sub(x, OTHER, alpha=3),
    "tanh": lambda x: x.tanh(),
}


@pytest.mark.parametrize("name", INTO)
def test_what_is_written_where_it_was_has_the_same_bits(name: str) -> None:
    """The result goes on into another operation; handed out itself it would be made anew."""
    made: list[Tensor] = []

    def function(x: Tensor) -> Tensor:
        made.append(OPERATIONS[name](x))
        return torch.flip(made[-1], (0,))

    repeated = Repeated(function)
    outputs = [repeated(x) for x in numbers()]
    assert repeated._recording is not None
    stays = made[1]  # of the second call, which became the recording
    assert torch.equal(outputs[-1].nan_to_num(9), torch.flip(stays, (0,)).nan_to_num(9))
    for x, output in zip(numbers(), outputs, strict=True):
        assert torch.equal(output.nan_to_num(9), torch.flip(OPERATIONS[name](x), (0,)).nan_to_num(9))


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
