"""The laws that every combination of registered choices keeps, or is refused with a reason.

In float64 and without dropout: forward and backward are finite, documents packed into rows equal documents alone,
padding on either side changes nothing, kernels equal the reference (hidden states and the gradients of all weights),
and neither the future nor a neighbour document is seen. The fast suite runs few cells that hold every pair of choices,
the slow suite the full product of the main axes. Both enumerate the registries: a new choice is under contract with no
new test code.
"""

import functools
import inspect
import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from tests import cells
from tests.cells import Cell
from tests.nn.attend.cases import differentiable
from zoo.batch import PADDING_DOCUMENT
from zoo.config import build as build_config
from zoo.config import merged
from zoo.errors import ConfigError
from zoo.generation.cache import GrowingCache
from zoo.models import Model, ModelConfig
from zoo.nn.attend import KERNELS, Demand, Prepared, ReferenceKernel, Request, Scoring
from zoo.nn.embedding import TokenEmbedding
from zoo.nn.init import initialize
from zoo.nn.positions import Positions, PositionsConfig, PositionsShape

KERNEL = "attention.kernel"
TOLERANCE = 1e-10
"""Of float64, relative: on hidden states and, weight by weight, on gradients."""

# lengths of the documents in each packed row: of the only side or the decoder, and of the encoder beside a decoder
LENGTHS = ((3, 5, 2), (4, 1, 2))
ENCODER_LENGTHS = ((2, 4, 3), (3, 2, 1))
NUM_DOCUMENTS = sum(len(row) for row in LENGTHS)


# -------------------------------------------------------------------------------------------------- documents into rows


class Layout(NamedTuple):
    """Inputs of a backbone, and for each document the row and the first place of its tokens on the main side."""

    inputs: dict[str, Tensor]
    places: list[tuple[int, int]]


def sides_of(model: Model) -> dict[str, list[Tensor]]:
    """The tokens of each document, for each side of the backbone by the prefix of its inputs; the main side is last."""
    generator = torch.Generator().manual_seed(7)
    two_sided = "decoder_tokens" in inspect.signature(model.backbone.forward).parameters
    lengths = {"": ENCODER_LENGTHS, "decoder_": LENGTHS} if two_sided else {"": LENGTHS}
    return {
        prefix: [torch.randint(cells.VOCAB_SIZE, (n,), generator=generator) for row in rows for n in row]
        for prefix, rows in lengths.items()
    }


def alone(model: Model) -> list[Layout]:
    """Each document as a batch of its own, without positions or document ids."""
    documents = zip(*sides_of(model).values(), strict=True)
    prefixes = list(sides_of(model))
    return [
        Layout({f"{prefix}tokens": t[None] for prefix, t in zip(prefixes, tokens, strict=True)}, [(0, 0)])
        for tokens in documents
    ]


def packed(model: Model) -> list[Layout]:
    """Several documents in each row, in an order of ids that is not that of the rows, then padding."""
    return [lay(model, [[0, 1, 2], [3, 4, 5]], ids=[4, 0, 2])]


def padded_right(model: Model) -> list[Layout]:
    """One document in each row, padding behind it."""
    return [lay(model, [[index] for index in range(NUM_DOCUMENTS)], ids=[0])]


def padded_left(model: Model) -> list[Layout]:
    """One document in each row, padding before it."""
    return [lay(model, [[index] for index in range(NUM_DOCUMENTS)], ids=[0], left=True)]


def lay(model: Model, rows: list[list[int]], ids: list[int], left: bool = False) -> Layout:
    """Documents into rows; what is padding holds token 1 and position 0."""
    inputs, places = {}, []
    for prefix, tokens in sides_of(model).items():
        lengths = [[len(tokens[index]) for index in row] for row in rows]
        width = max(map(sum, lengths)) + 1
        shape = (len(rows), width)
        laid = {"tokens": torch.ones(shape), "positions": torch.zeros(shape), "documents": torch.full(shape, -1.0)}
        laid = {name: values.long() for name, values in laid.items()}
        places = []
        for number, row in enumerate(rows):
            start = width - sum(lengths[number]) if left else 0
            for index, document in zip(row, ids, strict=True):
                part = (number, slice(start, start + len(tokens[index])))
                laid["tokens"][part] = tokens[index]
                laid["positions"][part] = torch.arange(len(tokens[index]))
                laid["documents"][part] = document
                places.append((number, start))
                start += len(tokens[index])
        inputs |= {f"{prefix}{name}": values for name, values in laid.items()}
    return Layout(inputs, places)


# ------------------------------------------------------------------------------------------------------------ the laws


class Outcome(NamedTuple):
    """Hidden states of all documents one after another, and the gradient of each parameter."""

    hidden: Tensor
    gradients: dict[str, Tensor]


def build(config: ModelConfig) -> Model:
    """The model in float64, its weights small (without a norm large ones explode) and none left at 0 or 1.

    Parts that mix rows in training (batch normalization) keep the laws in evaluation.
    """
    model = config.build_unset().double()
    initialize(model, config.initialization, seed=0)
    generator = torch.Generator().manual_seed(11)
    with torch.no_grad():
        for _, parameter in sorted(model.named_parameters()):
            noise = torch.rand(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.mul_(0.3).add_(0.2 * noise - 0.1)
    return model.train(not config.parts_that_mix_rows())


def outcome(model: Model, lay_out: Callable[[Model], list[Layout]]) -> Outcome:
    """One forward for each layout, one backward for all, from a random direction for each document."""
    generator = torch.Generator().manual_seed(3)
    documents = list(sides_of(model).values())[-1]
    lengths = iter(len(tokens) for tokens in documents)
    parts = []
    for layout in lay_out(model):
        hidden_BTD = model.backbone(**layout.inputs)
        assert hidden_BTD.isfinite().all(), "hidden states are not finite, padding included"
        for row, start in layout.places:
            parts.append(hidden_BTD[row, start : start + next(lengths)])
    hidden = torch.cat(parts)
    assert hidden.abs().max() < 1e4, "hidden states explode: differences would drown"
    direction = torch.randn(hidden.shape, generator=generator, dtype=hidden.dtype)
    parameters = dict(model.backbone.named_parameters())
    gradients = torch.autograd.grad(
        (hidden * direction).sum(), list(parameters.values()), allow_unused=True, materialize_grads=True
    )
    assert all(gradient.isfinite().all() for gradient in gradients), "gradients are not finite"
    return Outcome(hidden.detach(), dict(zip(parameters, gradients, strict=True)))


def assert_equal(found: Outcome, expected: Outcome, what: str) -> None:
    """Both outcomes agree; gradients are judged by the larger of their own norm and the mean norm of all."""
    gap = (found.hidden - expected.hidden).abs().max() / expected.hidden.abs().max()
    assert gap < TOLERANCE, f"{what}: hidden states differ by {gap:.1e}"
    norms = {name: gradient.norm() for name, gradient in expected.gradients.items()}
    mean = torch.stack(list(norms.values())).mean()
    for name, gradient in expected.gradients.items():
        gap = (found.gradients[name] - gradient).norm() / torch.maximum(norms[name], mean)
        assert gap < TOLERANCE, f"{what}: gradients of {name} differ by {gap:.1e}"


def assert_no_leak(model: Model, every: int) -> None:
    """A place depends on no other document and, in a causal model, on nothing later: gradients are exactly zero.

    Args:
        every: look at every so many places of the rows.
    """
    captured: list[Tensor] = []

    def cut(module: nn.Module, inputs: tuple[object, ...], output: Tensor) -> Tensor:
        captured.append(output.detach().requires_grad_())
        return captured[-1]

    (layout,) = packed(model)
    hooks = [m.register_forward_hook(cut) for m in model.backbone.modules() if isinstance(m, TokenEmbedding)]
    hidden_BTD = model.backbone(**layout.inputs)
    for hook in hooks:
        hook.remove()
    documents = [layout.inputs[f"{prefix}documents"] for prefix in sides_of(model)]
    order = torch.arange(hidden_BTD.shape[1])
    fades = model.config.residual.kind == "none"  # with no stream beside the branches, what is seen may round to 0
    for place in range(1, hidden_BTD.shape[1], every):
        gradients = torch.autograd.grad(hidden_BTD[:, place].square().sum(), captured, retain_graph=True)
        here = documents[-1][:, place, None]
        *memory, own = [gradient.abs().sum(-1) for gradient in gradients]
        seen = (documents[-1] == here) & (here >= 0)
        if model.config.causal:
            seen &= order <= place
        assert (own[~seen & (order != place)] == 0).all(), f"place {place} sees another document or its future"
        neighbour = seen & ((order - place).abs() == 1)
        assert fades or (own[neighbour] > 0).all(), f"place {place} does not see its neighbour"
        for side, of_side in zip(memory, documents, strict=False):
            same = (of_side == here) & (here >= 0)
            assert (side[~same] == 0).all(), f"place {place} sees another document of the memory"
            assert fades or (side[same] > 0).all(), f"place {place} does not see its own document of the memory"


@torch.no_grad()
def assert_cached_is_whole(model: Model) -> None:
    """Packed rows with padding, computed in pieces on a cache, are what they are computed at once."""
    (layout,) = packed(model)
    whole = model.backbone(**layout.inputs)
    prefix = list(sides_of(model))[-1]
    own = {name.removeprefix(prefix): values for name, values in layout.inputs.items() if name.startswith(prefix)}
    step = model.backbone
    if prefix:
        own = {name: layout.inputs[f"{prefix}{name}"] for name in ("tokens", "positions", "documents")}
        memory = model.backbone.encode(*(layout.inputs[name] for name in ("tokens", "positions", "documents")))
        step = functools.partial(model.backbone.decode, memory=memory)
    cache, parts, start = GrowingCache(), [], 0
    for length in (4, 1, 1, whole.shape[1] - 6):
        part = {name: values[:, start : start + length] for name, values in own.items()}
        parts.append(step(**part, cache=cache))
        start += length
    gap = (torch.cat(parts, dim=1) - whole).abs().max() / whole.abs().max()
    assert gap < TOLERANCE, f"cached: hidden states differ by {gap:.1e}"


def check(cell: Cell, places_every: int = 1) -> None:
    """All laws, on one combination of choices."""
    model = build(cells.config_of(cell))
    expected = outcome(model, alone)
    for layout in (packed, padded_right, padded_left):
        assert_equal(outcome(model, layout), expected, layout.__name__)
    if cell.get(KERNEL, "reference") != "reference":
        reference = build(cells.config_of(cell | {KERNEL: "reference"}))
        assert_equal(outcome(reference, packed), expected, "the reference kernel")
    if model.config.causal:
        assert_cached_is_whole(model)
    assert_no_leak(model, places_every)


# ----------------------------------------------------------------------------------------------------- every pair holds

PAIRWISE, REFUSED = cells.pairwise(cells.axes(), cells.is_refused, cells.builds, cells.needs)


@pytest.mark.parametrize("cell", PAIRWISE, ids=cells.name_of)
def test_pair(cell: Cell) -> None:
    check(cell)


@pytest.mark.parametrize("family", ModelConfig.choices)
@pytest.mark.parametrize("variant", cells.variants(), ids=cells.name_of)
def test_variant(variant: Cell, family: str) -> None:
    """Each field of each kind, in each family; what no model of a family can have says why."""
    try:
        cell = cells.needs({"family": family} | variant)
    except ConfigError as error:
        assert_names(str(error), {"family": family} | variant)
        return
    check(cell)


FORWARD_ONLY = [
    name
    for name, kernel in KERNELS.items()
    if name not in differentiable() and kernel.refusal(Demand("cpu", torch.float64, gradients=False)) is None
]


@pytest.mark.parametrize("kernel", FORWARD_ONLY)
@pytest.mark.parametrize("axis", cells.axes())
def test_kernel_without_a_backward_here(axis: str, kernel: str) -> None:
    """Beside every choice: hidden states of packed rows are the reference's, or the kernel is refused by name."""
    for value in cells.axes(with_variants=True)[axis]:
        cell = cells.needs({axis: value})
        model = build(cells.config_of(cell))
        (layout,) = packed(model)
        settings = merged(cells.settings_of(cell), {"attention": {"kernel": kernel}})
        config = buildable(settings, kernel)
        if config is not None:
            other = config.build_unset().double().train(model.training)
            other.load_state_dict(model.state_dict())
            with torch.no_grad():
                expected = model.backbone(**layout.inputs)
                gap = (other.backbone(**layout.inputs) - expected).abs().max() / expected.abs().max()
            assert gap < TOLERANCE, f"{kernel} beside {axis}={value}: hidden states differ by {gap:.1e}"


def buildable(settings: dict[str, Any], kernel: str) -> ModelConfig | None:
    """The config of these settings; None where it is refused, which must be by the kernel's name."""
    try:
        config = build_config(ModelConfig, settings)
        assert isinstance(config, ModelConfig)
        return config
    except ConfigError as error:
        refusal = str(error)
    assert kernel in refusal, f"{refusal} does not name {kernel}"
    return None


def test_cells_hold_every_pair() -> None:
    held = set().union(*(cells.pairs_of(cell) for cell in PAIRWISE))
    wanted = cells.pairs(cells.axes())
    assert held.isdisjoint(REFUSED)
    assert held | set(REFUSED) >= set(wanted)  # a cell may hold a variant that it needs
    assert len(PAIRWISE) < len(wanted) / 10


@pytest.mark.parametrize("pair", REFUSED, ids=lambda pair: cells.name_of(dict(pair)))
def test_refused_pair_names_both(pair: cells.Pair) -> None:
    reason = cells.refusal(dict(pair))
    assert reason is not None
    assert_names(reason, dict(pair))


def assert_names(reason: str, cell: Cell) -> None:
    """A refusal names all that does not go together, by field or by value."""
    for axis, value in cell.items():
        assert names(reason, axis, value), f"{reason!r} does not name {axis}={value}"


def names(reason: str, axis: str, value: str) -> bool:
    """Whether a refusal speaks of a choice, by its field or its value."""
    return not {*axis.split("."), *re.findall(r"\w+", value)}.isdisjoint(re.findall(r"\w+", reason))


def test_what_is_refused_by_design() -> None:
    refused = {frozenset(f"{axis}={value}" for axis, value in pair) for pair in REFUSED}
    assert refused >= {
        frozenset({"family=decoder", "heads=next_sentence"}),
        frozenset({"family=encoder_decoder", "heads=next_sentence"}),
        frozenset({"attention.cap=2.0", "attention.kernel=sdpa"}),
        frozenset({"head_dim=5", "positions=rotary"}),
    }


@pytest.mark.slow
def test_pairs_of_variants() -> None:
    """Every pair of everything, each field of each kind included."""
    choices = cells.axes(with_variants=True)
    found, refused = cells.pairwise(choices, cells.is_refused, cells.builds, cells.needs)
    held = set().union(*(cells.pairs_of(cell) for cell in found))
    assert held | set(refused) == set(cells.pairs(choices))
    for pair in refused:  # where each of the two needs another setting, and needs it to differ, one of them is named
        reason = cells.refusal(dict(pair))
        assert reason is not None
        assert any(names(reason, axis, value) for axis, value in pair), f"{reason!r} names neither of {pair}"
    for cell in found:
        try:
            check(cell, places_every=4)
        except AssertionError as error:
            raise AssertionError(f"{cells.name_of(cell)}: {error}") from error


MAIN = {name: cells.axes()[name] for name in cells.PRODUCT}
CORNERS = list(cells.product(MAIN, ("family", "positions", "placement")))


@pytest.mark.slow
@pytest.mark.parametrize("corner", CORNERS, ids=cells.name_of)
def test_product(corner: Cell) -> None:
    """Every combination of the main axes; one test holds those that share family, positions and placement."""
    rest = [name for name in MAIN if name not in corner and name != KERNEL]
    for choices in cells.product(MAIN, rest):
        cell = corner | choices
        if not cells.builds(cell):
            assert not cells.pairs_of(cell).isdisjoint(REFUSED), f"{cells.name_of(cell)} is refused, but no pair of it"
            continue
        try:
            check(cell, places_every=4)
            expected = outcome(build(cells.config_of(cell)), packed)
            for kernel in MAIN[KERNEL]:
                model = build(cells.config_of(cell | {KERNEL: kernel}))
                assert_equal(outcome(model, packed), expected, f"kernel {kernel}")
        except AssertionError as error:
            raise AssertionError(f"{cells.name_of(cell)}: {error}") from error


# -------------------------------------------------------------------------------------- new choices, and broken choices


@dataclass(frozen=True, kw_only=True)
class Scheme(PositionsConfig):
    """A positional scheme made up for a test; abstract until it is registered under a kind."""

    def build(self, shape: PositionsShape) -> Positions:
        return self.module()

    module = Positions


class AddedPositions(Positions):
    """Adds a multiple of the position: crude, but it keeps the laws."""

    def embed(self, hidden_BTD: Tensor, positions_BT: Tensor) -> Tensor:
        return hidden_BTD + 0.1 * positions_BT[..., None] * torch.arange(hidden_BTD.shape[-1]).cos()


class PlaceInRow(AddedPositions):
    """Mistakes the place in the row for the position in the document."""

    def embed(self, hidden_BTD: Tensor, positions_BT: Tensor) -> Tensor:
        return super().embed(hidden_BTD, torch.arange(hidden_BTD.shape[1])[None])


@pytest.fixture
def registered(request: pytest.FixtureRequest) -> Iterator[str]:
    """The kind under which the module class that the test asks for is registered while it runs."""
    kind = "made_up"
    fields = {"module": request.param, "__doc__": "Made up.", "__module__": __name__}
    dataclass(frozen=True, kw_only=True)(type(Scheme)("MadeUp", (Scheme,), fields, kind=kind))
    yield kind
    del PositionsConfig.choices[kind]


@pytest.mark.parametrize("registered", [AddedPositions], indirect=True)
def test_new_choice_is_under_contract(registered: str) -> None:
    assert registered in cells.axes()["positions"]
    main = {name: cells.axes()[name] for name in cells.PRODUCT}
    found, refused = cells.pairwise(main, cells.is_refused, cells.builds, cells.needs)
    with_it = [cell for cell in found if cell["positions"] == registered]
    assert {pair for pair in REFUSED if {axis for axis, _ in pair} <= set(main)} <= set(refused)
    assert {cell["family"] for cell in with_it} == set(ModelConfig.choices)
    for cell in with_it[:4]:
        check(cell)


def test_new_choice_is_gone() -> None:
    assert "made_up" not in cells.axes()["positions"]


@pytest.mark.parametrize("registered", [PlaceInRow], indirect=True)
@pytest.mark.parametrize("family", ModelConfig.choices)
def test_contract_catches_a_scheme_that_counts_places(registered: str, family: str) -> None:
    with pytest.raises(AssertionError, match=r"(packed|padded_left): hidden states differ"):
        check({"family": family, "positions": registered})


class Unmasked(ReferenceKernel):
    """Forgets the mask."""

    def prepare(self, request: Request) -> Prepared:
        return Prepared(None, request.bias)


class Forgetful(ReferenceKernel):
    """Hands no gradient to the keys."""

    def attend(self, q_BHTK: Tensor, k_BGSK: Tensor, v_BGSK: Tensor, prepared: Prepared, scoring: Scoring) -> Tensor:
        return super().attend(q_BHTK, k_BGSK.detach(), v_BGSK, prepared, scoring)


@pytest.mark.parametrize(
    "kernel, message",
    [(Unmasked, "packed: hidden states differ"), (Forgetful, "reference kernel: gradients of .* differ")],
)
def test_contract_catches_a_kernel(
    kernel: type[ReferenceKernel], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(KERNELS._entries, "made_up", kernel())
    assert "made_up" in cells.axes()[KERNEL]
    with pytest.raises(AssertionError, match=message):
        check({"family": "decoder", KERNEL: "made_up"})


@pytest.mark.parametrize("family, message", [("decoder", "its future"), ("encoder_decoder", "its future")])
def test_contract_catches_a_leak(family: str, message: str) -> None:
    model = build(cells.config_of({"family": family}))
    (model.backbone.stack if family == "decoder" else model.backbone.decoder).causal = False
    with pytest.raises(AssertionError, match=message):
        assert_no_leak(model, every=1)


# --------------------------------------------------------------------------------------------------- the covering array


@pytest.mark.parametrize("sizes", [(2, 2), (3, 2, 4), (5, 5, 5, 5), (2,) * 10])
def test_covering_array(sizes: tuple[int, ...]) -> None:
    choices = {f"axis{index}": tuple(range(size)) for index, size in enumerate(sizes)}
    found, refused = cells.pairwise(choices, lambda cell: False)
    assert not refused
    assert set().union(*(cells.pairs_of(cell) for cell in found)) == set(cells.pairs(choices))
    largest = sorted(sizes)[-2:]
    assert largest[0] * largest[1] <= len(found) <= 3 * largest[0] * largest[1] + 4


def test_covering_array_avoids_what_is_refused() -> None:
    choices = {"a": (0, 1), "b": (0, 1), "c": (0, 1)}
    found, refused = cells.pairwise(choices, lambda cell: cell.get("a") == 1 and cell.get("b") == 1)
    assert refused == [(("a", 1), ("b", 1))]
    assert not any(cell["a"] == cell["b"] == 1 for cell in found)
    pairs = set(itertools.chain(*(cells.pairs_of(cell) for cell in found)))
    assert pairs == set(cells.pairs(choices)) - set(refused)


def test_padding_is_what_the_batch_says() -> None:
    model = build(cells.config_of({"family": "encoder_decoder"}))
    (layout,) = packed(model)
    assert set(layout.inputs) == set(inspect.signature(model.backbone.forward).parameters)
    assert all((layout.inputs[name] == PADDING_DOCUMENT).any() for name in ("documents", "decoder_documents"))
