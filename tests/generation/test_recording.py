"""What a step did is done again, bit for bit, or not recorded at all."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.module import register_module_forward_hook

from tests.generation.tiny import PADDING, VOCAB_SIZE, greedy, prompts_of, tiny
from zoo.generation import recording, running
from zoo.generation.cache import GrowingCacheConfig
from zoo.generation.generate import generate_steps
from zoo.generation.history import History
from zoo.generation.recording import Recording, Repeated
from zoo.generation.roles import TokenRoles
from zoo.nn.attend import KERNELS
from zoo.nn.block import BlockConfig
from zoo.nn.feed_forward import FeedForwardConfig
from zoo.nn.norm import NormConfig
from zoo.nn.positions import PositionsConfig
from zoo.nn.watched import is_watched

WEIGHT = torch.randn(4, 4, generator=torch.Generator().manual_seed(0))
TABLE = WEIGHT.clone()


@pytest.fixture(autouse=True)
def _no_gradients() -> Iterator[None]:
    with torch.inference_mode():
        yield


def several_results(x: Tensor) -> Tensor:
    first, second = x.chunk(2, dim=-1)
    largest = x.max(dim=-1)
    return torch.cat([second, first], dim=-1) + largest.values[:, None] * largest[1][:, None]


def by_name(x: Tensor) -> Tensor:
    return functional.layer_norm(input=x, normalized_shape=(4,), weight=WEIGHT[0]) + torch.add(x, other=x, alpha=2)


def written_over(x: Tensor) -> Tensor:
    room = torch.zeros(len(x), 6)
    room[:, 1:5] = x
    room[0] += 1
    room.index_copy_(1, torch.arange(1) + 5, x[:, :1])
    return functional.dropout(room, 0.5, training=False).T


def of_shapes(x: Tensor) -> Tensor:
    return x.view(x.shape[0], -1).expand(len(x), x.numel() // x.size(0)) * (2 if x.is_floating_point() else 1)


def in_groups(x: Tensor) -> Tensor:
    return torch.stack([torch.cat((x, x)), torch.cat((x, WEIGHT[: len(x)]))]).mT


def row_by_row(x: Tensor) -> Tensor:
    return torch.stack([row + index for index, row in enumerate(x)])


def written_over_a_constant(x: Tensor) -> Tensor:
    numbers = torch.arange(4.0)
    result = x + numbers
    numbers[0] = 9
    numbers.unsqueeze(0).add_(1)
    return result + numbers


SAFE: list[Callable[[Tensor], Tensor]] = [
    several_results,
    by_name,
    written_over,
    of_shapes,
    in_groups,
    row_by_row,
    written_over_a_constant,
]


@pytest.mark.parametrize("function", SAFE, ids=lambda function: function.__name__)
def test_a_recording_gives_what_the_function_gives(function: Callable[[Tensor], Tensor]) -> None:
    repeated, numbers = Repeated(function), torch.randn(6, 3, 4, generator=torch.Generator().manual_seed(1))
    for index, x in enumerate(numbers):
        assert torch.equal(repeated(x.clone()), function(x.clone())), index
    assert repeated._recording is not None


def test_what_lies_in_tensors_goes_on() -> None:
    total, calls = torch.zeros(()), []

    def count(x: Tensor) -> Tensor:
        calls.append(is_watched())
        total.add_(x.sum())
        return total.clone()

    repeated = Repeated(count)
    assert [float(repeated(torch.full((2,), float(n)))) for n in (1, 2, 3, 4, 5)] == [2, 6, 12, 20, 30]
    assert calls == [True, True]  # and from then on the function is not called


def to_python(x: Tensor) -> Tensor:
    return x * int(x.argmax())


def branching(x: Tensor) -> Tensor:
    return x + 1 if x.sum() > 0 else x - 1


def listed(x: Tensor) -> Tensor:
    return torch.tensor(x.tolist())


def with_a_function(x: Tensor) -> Tensor:
    return x.apply_(lambda value: value + 1)


def without_operations(x: Tensor) -> Tensor:
    return WEIGHT


def in_place_by_argument(x: Tensor) -> Tensor:
    copied = x * 1
    functional.relu(copied, inplace=True)
    return copied + 0


def as_many_as_there_are(x: Tensor) -> Tensor:
    return x * len(x[x > 0])


def places_of_numbers(x: Tensor) -> Tensor:
    return x * (x > 0).nonzero().shape[0]


def counted_by_numbers(x: Tensor) -> Tensor:
    return torch.arange(int(x.shape[0])).repeat_interleave(x[:, 0].abs().long()).sum() + x


def up_to_a_number(x: Tensor) -> Tensor:
    return torch.arange(x[0, 1].abs().long() + 1).sum() + x


def in_another_precision(x: Tensor) -> Tensor:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        product = x @ WEIGHT
    return product.float()


def unseen(x: Tensor) -> Tensor:
    return nn.Parameter(x * 2, requires_grad=False) + 1


class Counted:
    """What differs from call to call lies in Python."""

    calls = 0


def with_a_counter(x: Tensor) -> Tensor:
    Counted.calls += 1
    return x + Counted.calls


def drawn(x: Tensor) -> Tensor:
    torch.manual_seed(int(x.shape[0]))
    return x + torch.rand(4)


UNSAFE: list[Callable[[Tensor], Tensor]] = [
    to_python,
    branching,
    listed,
    with_a_function,
    without_operations,
    in_place_by_argument,
    as_many_as_there_are,
    places_of_numbers,
    counted_by_numbers,
    up_to_a_number,
    in_another_precision,
    unseen,
    drawn,
]


@pytest.mark.parametrize("function", UNSAFE, ids=lambda function: function.__name__)
def test_what_numbers_decide_is_not_recorded(function: Callable[[Tensor], Tensor]) -> None:
    repeated = Repeated(function)
    for factor in (1, 1, -1, 2, -3, 1):
        x = factor * torch.arange(12.0).view(3, 4)
        assert torch.equal(repeated(x.clone()), function(x.clone()))
    assert repeated._recording is None


def test_what_differs_between_two_calls_is_not_recorded() -> None:
    repeated, counted = Repeated(with_a_counter), []
    for _ in range(6):
        counted.append(float(repeated(torch.zeros(1))))
    assert counted == [1, 2, 3, 4, 5, 6]


def test_what_is_done_once_is_not_recorded() -> None:
    made: list[Tensor] = []

    def first_made(x: Tensor) -> Tensor:
        if not made:
            made.append(x * 0 + 2)
        return x * made[0]

    repeated = Repeated(first_made)
    assert [float(repeated(torch.full((), float(value)))) for value in range(6)] == [0, 2, 4, 6, 8, 10]
    assert repeated._recording is not None


def test_what_torch_compiles_is_not_recorded() -> None:
    """Its operations are not seen, and it is not told of the recorder."""
    compiled = torch.compile(lambda x: x * 3, backend="eager", fullgraph=True)
    repeated = Repeated(lambda x: compiled(x) + 1)
    for value in range(6):
        assert float(repeated(torch.full((), float(value)))) == 3 * value + 1


def test_another_autocast_begins_anew() -> None:
    repeated, x = Repeated(lambda x: x @ WEIGHT), torch.eye(4) / 3
    for enabled in (False, True, False):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            for _ in range(5):
                assert torch.equal(repeated(x), x @ WEIGHT)


def test_other_shapes_begin_anew() -> None:
    repeated = Repeated(lambda x, y: x * 2 if y is None else x + y)
    x = torch.ones(2)
    for inputs in [(x, None)] * 4 + [(x, x)] * 4 + [(torch.ones(3), torch.ones(3))] * 4:
        expected = inputs[0] * 2 if inputs[1] is None else inputs[0] + inputs[1]
        assert torch.equal(repeated(*inputs), expected)
    repeated.forget()
    assert repeated._recording is None


def test_nothing_is_recorded_for_a_backward() -> None:
    with torch.inference_mode(False), torch.enable_grad():
        repeated, x = Repeated(torch.exp), torch.ones(2, requires_grad=True)
        for _ in range(4):
            repeated(x).sum().backward()
    assert repeated._recording is None
    assert torch.equal(x.grad, 4 * torch.ones(2).exp())


# ---------------------------------------------------------------------------------------------------------- in decoding


CHOICES = {
    "positions": PositionsConfig,
    "norm": NormConfig,
    "block": BlockConfig,
    "feed_forward": FeedForwardConfig,
}
CELLS = [(field, kind) for field, base in CHOICES.items() for kind in sorted(base.choices)]
FEW = [("positions", "rotary"), ("positions", "relative"), ("norm", "layer_norm"), ("feed_forward", "mixture")]
CELLS += [("attention", {"kernel": kernel}) for kernel in sorted(KERNELS) if kernel != "varlen"]  # of GPUs
CELLS += [("num_kv_heads", 2), ("layers", {"1": {"attention": {"window": 3}}}), ("sharing", "all")]
CELLS += [("attention", {"query_key_norm": {"norm": "rms_norm"}}), ("attention", {"sinks": "learned"})]
NEW = 8
STEPS = [(torch.float64, (4, 4)), (torch.float32, (5, 1, 3)), (torch.bfloat16, (4,)), (torch.bfloat16, (3,) * 5)]
NOT_RECORDED = ["mixture", {"kernel": "flex"}]


@pytest.fixture
def replays(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for each recording that is done again."""
    seen: list[int] = []
    again = Recording.__call__

    def counted(self: Recording, *inputs: Tensor) -> Tensor:
        seen.append(len(self.calls))
        return again(self, *inputs)

    monkeypatch.setattr(Recording, "__call__", counted)
    return seen


def logits_of(model: Any, lengths: tuple[int, ...], **options: Any) -> list[Tensor]:
    seen: list[Tensor] = []

    def choose(logits_BV: Tensor, _: History) -> Tensor:
        seen.append(logits_BV.clone())
        return greedy(logits_BV)

    list(generate_steps(model, prompts_of(lengths), TokenRoles(VOCAB_SIZE, PADDING), choose, **options))
    return seen


@pytest.mark.parametrize("family", ["decoder", "encoder_decoder"])
@pytest.mark.parametrize(
    "field, kind", [pytest.param(*cell, marks=[] if cell in FEW else pytest.mark.slow) for cell in CELLS], ids=str
)
def test_a_recorded_step_is_the_step(
    field: str, kind: Any, family: str, replays: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of every choice, with prompts of one length and of several, samples of each, and biases that are not zero."""
    model, options = tiny(family, **{field: kind}), {"max_new_tokens": NEW, "samples": 2}
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(parameter.numel()))
    for dtype, lengths in STEPS:
        model.to(dtype)
        recorded = logits_of(model, lengths, **options)
        with monkeypatch.context() as patch:
            patch.setattr(running, "_is_observed", lambda model: True)
            computed = logits_of(model, lengths, **options)
        assert len(recorded) == NEW
        assert all(map(torch.equal, recorded, computed))
    assert len(replays) == (0 if kind in NOT_RECORDED else len(STEPS) * (NEW - 3))


def test_only_steps_that_are_alike_are_recorded(replays: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny("decoder")
    logits_of(model, (3,), max_new_tokens=NEW, cache=GrowingCacheConfig())
    monkeypatch.setattr(running, "MOST_STATIC_PLACES", 9)
    logits_of(model, (3,), max_new_tokens=NEW)
    assert not replays


def test_who_wants_to_see_every_forward_sees_it(replays: list[int]) -> None:
    def hooked(register: Callable[..., Any]) -> int:
        seen: list[Any] = []
        handle = register(lambda *parts: seen.append(parts[0]))
        logits_of(model, (3,), max_new_tokens=NEW)
        handle.remove()
        return len({index for index, module in enumerate(seen) if module is model.backbone})

    model = tiny("decoder")
    assert hooked(model.backbone.register_forward_hook) == NEW
    assert hooked(model.backbone.register_forward_pre_hook) == NEW
    assert hooked(register_module_forward_hook) == NEW
    assert not replays


class Counting(nn.Module):
    """Somebody's own module, which counts in Python."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner, self.count = inner, 0

    def forward(self, hidden: Tensor) -> Tensor:
        self.count += 1
        scaled: Tensor = self.inner(hidden) * (0 if self.count % 5 == 0 else 1)
        return scaled


def test_what_may_count_in_python_is_called_each_time(replays: list[int]) -> None:
    model = tiny("decoder")
    feed_forward = model.backbone.stack.blocks[0].feed_forward
    feed_forward.sublayer = counting = Counting(feed_forward.sublayer)
    logits_of(model, (3,), max_new_tokens=NEW)
    assert counting.count == NEW
    assert not replays


def test_another_forward_is_called_each_time(replays: list[int]) -> None:
    model, seen = tiny("decoder"), []
    head = model.heads["language_model"]
    forward = head.forward
    head.forward = lambda hidden: seen.append(len(hidden)) or forward(hidden)
    logits_of(model, (3,), max_new_tokens=NEW)
    assert len(seen) == NEW
    assert not replays


def test_a_hook_that_comes_late_sees_the_rest(replays: list[int]) -> None:
    model, seen = tiny("decoder"), []

    def choose(logits_BV: Tensor, history: History) -> Tensor:
        if history.num_new == 5:
            model.backbone.register_forward_hook(lambda *parts: seen.append(history.num_new))
        return greedy(logits_BV)

    list(generate_steps(model, prompts_of((3,)), TokenRoles(VOCAB_SIZE, PADDING), choose, max_new_tokens=NEW))
    assert len(seen) == NEW - 6
    assert replays


def test_the_names_are_of_operations_that_there_are() -> None:
    homes = (Tensor, torch, functional)
    for name in (recording.PURE | recording.IN_PLACE | recording.ABOUT_SHAPES) - {"__get__"}:
        assert any(hasattr(home, name) for home in homes), name
