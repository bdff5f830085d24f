"""The loss in chunks equals cross entropy over all logits: the sum, every gradient, and the count of correct ones."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from zoo.batch import IGNORE_INDEX
from zoo.nn import loss
from zoo.nn.loss import Projection, classification_loss, token_loss, token_scores

N, D, V = 23, 6, 11
ROWS = [1, 4, 23, 1000]

# outputs and gradients, relative to the largest; bfloat16 keeps 8 bits of each product, and the gain's gradient cancels
TOLERANCES = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 1e-1}


class Output(nn.Module):
    """The smallest head that offers what the loss asks for."""

    def __init__(
        self, bias: bool, dtype: torch.dtype = torch.float64, cap: float | None = None, spare: int = 0
    ) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(4)
        self.weight = nn.Parameter(torch.randn(V + spare, D, generator=generator, dtype=torch.float64).to(dtype))
        self.cap = cap
        self.bias = nn.Parameter(torch.randn(V, generator=generator, dtype=torch.float64).to(dtype)) if bias else None
        self.gain = nn.Parameter(torch.tensor(0.5, dtype=dtype))

    @property
    def projection(self) -> Projection:
        """From features to logits."""
        return Projection(self.weight, self.bias, self.cap, V)

    def features(self, hidden: Tensor) -> Tensor:
        """Not the identity, so that gradients must pass through it."""
        return hidden * self.gain


def hidden_states(dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(N, D, generator=torch.Generator().manual_seed(8), dtype=torch.float64).to(dtype).requires_grad_()


def labels(ignored: float) -> Tensor:
    generator = torch.Generator().manual_seed(9)
    drawn = torch.randint(V, (N,), generator=generator)
    return drawn.where(torch.rand(N, generator=generator) >= ignored, IGNORE_INDEX)


def outcome(total: Tensor, head: Output, hidden: Tensor) -> list[Tensor]:
    """The loss and all gradients, of three times the loss."""
    wanted = [tensor for tensor in (hidden, *head.parameters()) if tensor.requires_grad]
    return [total.detach(), *torch.autograd.grad(3 * total, wanted)]


def whole(head: Output, hidden: Tensor, targets: Tensor) -> Tensor:
    """The definition."""
    logits = functional.linear(head.features(hidden), head.weight[:V], head.bias)
    logits = logits if head.cap is None else head.cap * torch.tanh(logits / head.cap)
    fine = torch.promote_types(logits.dtype, torch.float32)
    scored = targets != IGNORE_INDEX
    picked = logits.to(fine).log_softmax(-1).gather(1, targets.clamp(min=0)[:, None])[:, 0]
    return -(picked * scored).sum()


def assert_close(found: list[Tensor], expected: list[Tensor], tolerance: float) -> None:
    for one, other in zip(found, expected, strict=True):
        largest = max(other.abs().max().item(), 1e-30)
        assert (one.double() - other.double()).abs().max() <= tolerance * largest


@pytest.fixture(params=[(rows, "cpu") for rows in ROWS] + [(ROWS[1], "cuda")], ids=str)
def rows(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """How many positions are projected at a time, as on devices of which type."""
    rows, device = request.param
    monkeypatch.setattr(loss, "GPU_CHUNK_ELEMENTS" if device == "cuda" else "CHUNK_ELEMENTS", rows * V)
    with loss.computed_as_on(device):
        yield rows


SHAPES = [{}, {"cap": 1.5}, {"spare": 5}, {"cap": 3.0, "spare": 1}]


@pytest.mark.parametrize("dtype, tolerance", TOLERANCES.items(), ids=str)
@pytest.mark.parametrize("ignored", [0.0, 0.4, 0.95])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_equals_cross_entropy(
    rows: int, bias: bool, ignored: float, shape: dict[str, Any], dtype: torch.dtype, tolerance: float
) -> None:
    exact_head = Output(bias, dtype, **shape).double()
    exact_hidden = hidden_states(dtype).detach().double().requires_grad_()
    expected = outcome(whole(exact_head, exact_hidden, labels(ignored)), exact_head, exact_hidden)
    head, hidden = Output(bias, dtype, **shape), hidden_states(dtype)
    found = token_loss(head, hidden, labels(ignored))
    assert found.dtype == torch.promote_types(dtype, torch.float32)
    assert_close(outcome(found, head, hidden), expected, tolerance)


def test_torch_agrees_with_the_definition() -> None:
    head, hidden = Output(True), hidden_states()
    logits = functional.linear(head.features(hidden), head.weight, head.bias)
    torch.testing.assert_close(
        functional.cross_entropy(logits, labels(0.4), reduction="sum"), whole(head, hidden, labels(0.4))
    )


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_autocast(rows: int, shape: dict[str, Any]) -> None:
    """Weights in float32 under bfloat16 autocast: gradients come back in float32, close to exact ones."""
    exact_head = Output(True, torch.float32, **shape).double()
    exact_hidden = hidden_states(torch.float32).detach().double().requires_grad_()
    expected = outcome(whole(exact_head, exact_hidden, labels(0.4)), exact_head, exact_hidden)
    head, hidden = Output(True, torch.float32, **shape), hidden_states(torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        total = token_loss(head, hidden, labels(0.4))
    found = outcome(total, head, hidden)
    assert {tensor.dtype for tensor in found} == {torch.float32}
    assert_close(found, expected, TOLERANCES[torch.bfloat16])


def test_autocast_leaves_float64_alone(rows: int) -> None:
    head, hidden = Output(True), hidden_states()
    with torch.autocast("cpu", torch.bfloat16):
        total = token_loss(head, hidden, labels(0.4))
    torch.testing.assert_close(total, whole(head, hidden, labels(0.4)))


def test_no_targets_are_a_loss_of_zero(rows: int) -> None:
    head, hidden = Output(True), hidden_states()
    nothing = torch.full((N,), IGNORE_INDEX)
    total, each = token_loss(head, hidden, nothing), token_scores(head, hidden, nothing)
    assert total.item() == 0
    assert each.losses_N.tolist() == [0.0] * N
    assert not each.correct_N.any()
    assert all((gradient == 0).all() for gradient in outcome(total, head, hidden))


def test_no_positions_are_a_loss_of_zero(rows: int) -> None:
    head, hidden = Output(True), torch.empty(0, D, dtype=torch.float64, requires_grad=True)
    nothing = torch.empty(0, dtype=torch.long)
    total, each = token_loss(head, hidden, nothing), token_scores(head, hidden, nothing)
    assert total.item() == 0
    assert each.losses_N.shape == each.correct_N.shape == (0,)
    assert all((gradient == 0).all() for gradient in outcome(total, head, hidden))


@pytest.mark.parametrize("frozen", ["hidden", "weight", "bias"])
def test_what_needs_no_gradient_gets_none(rows: int, frozen: str) -> None:
    def parts() -> tuple[Output, Tensor]:
        head, hidden = Output(True), hidden_states()
        if frozen == "hidden":
            head.gain.requires_grad_(False)
            return head, hidden.detach()
        getattr(head, frozen).requires_grad_(False)
        return head, hidden

    head, hidden = parts()
    expected = outcome(whole(head, hidden, labels(0.4)), head, hidden)
    head, hidden = parts()
    assert_close(outcome(token_loss(head, hidden, labels(0.4)), head, hidden), expected, 1e-12)
    assert len(expected) == 4 if frozen != "hidden" else 3


def test_nothing_is_kept_without_gradients(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    real = loss._cross_entropy_in_chunks
    monkeypatch.setattr(loss, "_cross_entropy_in_chunks", lambda *given: (asked.append(given[-2]), real(*given))[1])
    with torch.no_grad():
        total = token_loss(Output(True), hidden_states(), labels(0.4))
    assert not total.requires_grad
    assert asked in ([], [(False, False, False)])


def test_a_sum_of_parts_is_the_whole(rows: int) -> None:
    """Law 3: however a batch is split, the sums add up."""
    head, hidden, targets = Output(True), hidden_states(), labels(0.4)
    parts = [token_loss(head, h, t) for h, t in zip(hidden.split(5), targets.split(5), strict=True)]
    assert_close(outcome(sum(parts), head, hidden), outcome(token_loss(head, hidden, targets), head, hidden), 1e-12)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_accuracy(rows: int, shape: dict[str, Any]) -> None:
    """Spare rows are never the best, however large they are."""
    head, hidden, targets = Output(True, **shape), hidden_states(), labels(0.4)
    with torch.no_grad():
        head.weight[V:] *= 1000
    best = functional.linear(head.features(hidden), head.weight[:V], head.bias).argmax(-1)
    targets[:6] = best[:6]
    correct = token_scores(head, hidden, targets).correct_N
    assert torch.equal(correct, best == targets)
    assert correct.sum() >= 6


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_each_label_by_itself_adds_up_to_the_loss(rows: int, shape: dict[str, Any]) -> None:
    head, hidden, targets = Output(True, **shape), hidden_states(), labels(0.4)
    losses = token_scores(head, hidden, targets).losses_N
    assert not losses.requires_grad
    for place in range(N):
        alone = token_loss(head, hidden[place : place + 1], targets[place : place + 1])
        torch.testing.assert_close(losses[place], alone, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(losses.sum(), token_loss(head, hidden, targets), rtol=1e-12, atol=0)


@pytest.mark.parametrize("spare", [0, 5])
@pytest.mark.parametrize("label", [-1, V, -99])
def test_labels_outside_the_vocabulary(rows: int, label: int, spare: int) -> None:
    targets = labels(0.4)
    targets[7] = label
    with pytest.raises((IndexError, RuntimeError)):
        token_loss(Output(True, spare=spare), hidden_states(), targets)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_spare_rows_take_no_probability_and_get_no_gradient(rows: int, shape: dict[str, Any]) -> None:
    head, hidden = Output(True, **shape), hidden_states()
    total = token_loss(head, hidden, labels(0.4))
    total.backward()
    assert head.weight.grad is not None
    assert (head.weight.grad[V:] == 0).all()
    with torch.no_grad():
        head.weight[V:] = 1e6
    torch.testing.assert_close(token_loss(head, hidden, labels(0.4)), total, rtol=0, atol=0)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_gradient_check(rows: int, shape: dict[str, Any]) -> None:
    head, targets = Output(True, **shape), labels(0.4)
    assert torch.autograd.gradcheck(lambda hidden: token_loss(head, hidden, targets), hidden_states())


def test_logits_are_never_alive_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a vocabulary large enough to matter: no tensor is larger than a chunk's logits."""
    monkeypatch.setattr(loss, "CHUNK_ELEMENTS", 4 * V)
    counted, trained = watched(monkeypatch, "product"), watched(monkeypatch, "product_into")
    token_scores(Output(True), hidden_states(), labels(0.4))
    token_loss(Output(True), hidden_states(), labels(0.4)).backward()
    assert len(counted) == len(trained) == -(-N // 4)
    assert all(logits.shape[0] <= 4 for logits in counted + trained)
    assert len({logits.data_ptr() for logits in trained}) == 1, "one buffer serves all chunks"


def watched(monkeypatch: pytest.MonkeyPatch, name: str) -> list[Tensor]:
    """The logits that a method of Projection makes from now on."""
    made: list[Tensor] = []
    real = getattr(loss.Projection, name)

    def watching(self: loss.Projection, *tensors: Tensor) -> Tensor:
        made.append(real(self, *tensors))
        return made[-1]

    monkeypatch.setattr(loss.Projection, name, watching)
    return made


@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
def test_classification(dtype: torch.dtype) -> None:
    logits = torch.tensor([[2.0, 0.0], [0.0, 1.0], [3.0, 0.0], [0.0, 0.0]], dtype=dtype)
    total, correct = classification_loss(logits, torch.tensor([0, 0, 1, IGNORE_INDEX]), accuracy=True)
    expected = torch.tensor([-2.0, 1.0, 3.0], dtype=torch.float64).exp().log1p().sum()
    torch.testing.assert_close(total.double(), expected, rtol=1e-5, atol=0)
    assert total.dtype == torch.promote_types(dtype, torch.float32)
    assert correct is not None
    assert correct.item() == 1
    assert classification_loss(logits, torch.full((4,), IGNORE_INDEX)) == (0, None)
