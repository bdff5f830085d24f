"""A stack sees what its settings say and nothing else: no future, no padding, no neighbour; cached equals whole."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.nn.attend.cases import DIFFERENTIABLE
from zoo.errors import ConfigError
from zoo.nn.attend import KERNELS, Kernel, Request
from zoo.nn.attention import LayerCache, MultiHeadAttentionConfig
from zoo.nn.feed_forward import NoFeedForwardConfig
from zoo.nn.init import BertInitializationConfig, initialize
from zoo.nn.layer import DropoutConfig
from zoo.nn.linear import Depth
from zoo.nn.parallel_block import ParallelBlockConfig
from zoo.nn.positions import PositionsConfig
from zoo.nn.positions.alibi import AlibiConfig
from zoo.nn.positions.rotary import RotaryConfig
from zoo.nn.residual import PLACEMENTS, Residual
from zoo.nn.residual_sum import ScaledBranchResidualConfig
from zoo.nn.sharing import AllSharedConfig
from zoo.nn.stack import Keys, Memory, Stack, StackConfig

B, T, D = 2, 8, 16
ROW = torch.arange(T)[None]
DOCUMENTS = torch.tensor([[-1, 0, 0, 0, 1, 1, 1, -1], [2, 2, 2, 2, 2, 5, 5, -1]])
POSITIONS = torch.tensor([[0, 0, 1, 2, 0, 1, 2, 0], [0, 1, 2, 3, 4, 0, 1, 0]])


def stack(causal: bool = True, cross: bool = False, **settings: Any) -> Stack:
    """In float64, every weight random."""
    sizes = {"dim": D, "num_layers": 2, "num_heads": 4, "feed_forward_dim": 16, "max_length": 32}
    config = StackConfig(**{**sizes, **settings})
    module = Stack(
        config, causal=causal, memory_dim=D if cross else None, depth=depth_of(config, causal, cross)
    ).double()
    initialize(module, BertInitializationConfig(std=0.3), seed=0)
    return module


def depth_of(config: StackConfig, causal: bool, cross: bool) -> Depth:
    layers = config.num_layers
    return Depth(layers if cross or not causal else 0, layers if causal else 0, causal)


def hidden(length: int = T) -> Tensor:
    return torch.randn(B, length, D, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


def reach(module: Stack, place: int, **inputs: Any) -> Tensor:
    """(B, T): how much the output at a place depends on each input; 0 is exactly not at all."""
    x = hidden().requires_grad_()
    module(x, **{"positions_BT": ROW, **inputs})[:, place].square().sum().backward()
    assert x.grad is not None
    return x.grad.abs().sum(-1)


# -------------------------------------------------------------------------------------------------------- who sees whom


@pytest.mark.parametrize("kernel", DIFFERENTIABLE)
@pytest.mark.parametrize("place", range(T))
def test_causal_stacks_do_not_see_the_future(kernel: str, place: int) -> None:
    seen = reach(stack(attention=MultiHeadAttentionConfig(kernel=kernel)), place)
    assert (seen[:, : place + 1] > 0).all()
    assert (seen[:, place + 1 :] == 0).all()


@pytest.mark.parametrize("kernel", DIFFERENTIABLE)
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("place", range(T))
def test_documents_do_not_see_each_other(kernel: str, causal: bool, place: int) -> None:
    module = stack(causal, attention=MultiHeadAttentionConfig(kernel=kernel))
    seen = reach(module, place, documents_BT=DOCUMENTS, positions_BT=POSITIONS)
    here = DOCUMENTS[:, place, None]
    expected = (here == DOCUMENTS) & (here >= 0)
    if causal:
        expected &= place >= ROW
    expected[:, place] = True  # through the residual stream, even where attention sees nothing
    assert torch.equal(seen > 0, expected)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("window", [0, 1, 3])
def test_window_of_one_layer(causal: bool, window: int) -> None:
    module = stack(causal, num_layers=1, attention=MultiHeadAttentionConfig(window=window))
    for place in range(T):
        distance = place - ROW.expand(B, T)
        expected = (distance <= window) & (distance >= (0 if causal else -window))
        assert torch.equal(reach(module, place) > 0, expected)


@pytest.mark.parametrize("causal", [False, True])
def test_a_wide_window_is_none(causal: bool) -> None:
    wide, full = stack(causal, attention=MultiHeadAttentionConfig(window=T)), stack(causal)
    torch.testing.assert_close(wide(hidden(), ROW), full(hidden(), ROW))
    narrow = stack(causal, attention=MultiHeadAttentionConfig(window=1))
    assert not torch.allclose(narrow(hidden(), ROW), full(hidden(), ROW))


def test_prefix_sees_both_ways() -> None:
    prefix = torch.tensor([[1, 1, 1, 0, 0, 0, 0, 0], [0] * T]).bool()
    first = reach(stack(), 0, prefix_BS=prefix)
    assert (first[0] > 0).tolist() == prefix[0].tolist()
    assert (first[1] > 0).tolist() == [True] + [False] * (T - 1)
    assert (reach(stack(), 5, prefix_BS=prefix)[:, 6:] == 0).all()
    everything = torch.ones(B, T).bool()
    torch.testing.assert_close(stack()(hidden(), ROW, prefix_BS=everything), stack(causal=False)(hidden(), ROW))


@pytest.mark.parametrize("kernel", DIFFERENTIABLE)
@pytest.mark.parametrize("window", [0, 1, 3])
def test_a_window_limits_a_prefix_on_both_sides(kernel: str, window: int) -> None:
    prefix = torch.tensor([[1, 1, 1, 1, 1, 0, 0, 0], [0, 0, 1, 1, 0, 1, 0, 0]]).bool()
    module = stack(num_layers=1, attention=MultiHeadAttentionConfig(kernel=kernel, window=window))
    for place in range(T):
        distance = place - ROW.expand(B, T)
        expected = (distance.abs() <= window) & ((distance >= 0) | (prefix[:, place, None] & prefix))
        assert torch.equal(reach(module, place, prefix_BS=prefix) > 0, expected)


@pytest.mark.parametrize("kernel", DIFFERENTIABLE)
@pytest.mark.parametrize("positions", PositionsConfig.choices)
def test_padding_is_never_nan(kernel: str, positions: str) -> None:
    module = stack(attention=MultiHeadAttentionConfig(kernel=kernel), positions=PositionsConfig.choice(positions)())
    x = hidden().requires_grad_()
    out = module(x, ROW, torch.full((B, T), -1))
    out.sum().backward()
    assert out.isfinite().all()
    assert x.grad is not None
    assert x.grad.isfinite().all()
    assert all(p.grad is None or p.grad.isfinite().all() for p in module.parameters())


# -------------------------------------------------------------------------------------------------------------- memory


def reach_of_memory(module: Stack, place: int, documents: Tensor | None, memory_documents: Tensor | None) -> Tensor:
    memory = hidden(5).requires_grad_()
    module(hidden(), ROW, documents, Memory(memory, memory_documents))[:, place].square().sum().backward()
    assert memory.grad is not None
    return memory.grad.abs().sum(-1) > 0


@pytest.mark.parametrize("kernel", DIFFERENTIABLE)
def test_memory_is_seen_by_its_own_document(kernel: str) -> None:
    module = stack(cross=True, attention=MultiHeadAttentionConfig(kernel=kernel))
    of_memory = torch.tensor([[1, 1, 0, -1, 7], [2, 5, 2, -1, -1]])
    for place in range(T):
        here = DOCUMENTS[:, place, None]
        seen = reach_of_memory(module, place, DOCUMENTS, of_memory)
        assert torch.equal(seen, (of_memory == here) & (here >= 0))


def test_absent_documents_are_document_zero() -> None:
    module = stack(cross=True)
    padded = torch.tensor([[0, 0, 0, -1, -1], [0, -1, -1, -1, -1]])
    assert torch.equal(reach_of_memory(module, 2, None, padded), padded == 0)
    own = torch.where(DOCUMENTS >= 0, 0, -1)
    assert reach_of_memory(module, 2, own, None).all()
    assert not reach_of_memory(module, T - 1, own, None).any()  # padding sees no memory
    assert reach_of_memory(module, 2, None, None).all()


def test_of_a_memory_no_bias_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Request] = []

    class Asked(type(KERNELS["auto"])):
        def pick(self, request: Request) -> Kernel:
            asked.append(request)
            return super().pick(request)

    monkeypatch.setitem(KERNELS._entries, "auto", Asked())
    stack(cross=True, positions=AlibiConfig())(hidden(), ROW, None, Memory(hidden(5), None))
    assert [sorted(request.demand().features) for request in asked] == [["bias"], []]


def test_memory_is_not_bent_by_positions() -> None:
    """Rotation and bias belong to self-attention; in cross-attention order is in the memory's content."""
    for positions in PositionsConfig.choices:
        module = stack(cross=True, positions=PositionsConfig.choice(positions)())
        memory, order = hidden(5), torch.tensor([3, 1, 4, 0, 2])
        one = module(hidden(), ROW, None, Memory(memory, None))
        torch.testing.assert_close(one, module(hidden(), ROW, None, Memory(memory[:, order], None)))


# --------------------------------------------------------------------------------------------------------------- caches


class GrowingLayer:
    """Keys and values of one layer, one after the other."""

    def __init__(self) -> None:
        self.kept: tuple[Tensor, Tensor] | None = None

    def extend(self, k_BGSK: Tensor, v_BGSK: Tensor) -> tuple[Tensor, Tensor]:
        new = (k_BGSK, v_BGSK)
        self.kept = new if self.kept is None else tuple(torch.cat(p, 2) for p in zip(self.kept, new, strict=True))
        return self.kept


class Cache:
    """The simplest cache that keeps the protocol."""

    def __init__(self) -> None:
        self.positions = torch.empty(B, 0, dtype=torch.long)
        self.documents = torch.empty(B, 0, dtype=torch.long)
        self.layers: dict[int, GrowingLayer] = {}

    @property
    def length(self) -> int:
        return self.positions.shape[1]

    def append(self, positions_BT: Tensor, documents_BT: Tensor | None) -> None:
        self.new = positions_BT.shape[1]
        self.positions = torch.cat((self.positions, positions_BT.expand(B, -1)), dim=1)
        if documents_BT is not None:
            self.documents = torch.cat((self.documents, documents_BT), dim=1)

    def keys(self, window: int | None) -> Keys:
        return Keys(self.positions, self.documents if self.documents.numel() else None, self.length - self.new)

    def layer(self, index: int) -> LayerCache:
        return self.layers.setdefault(index, GrowingLayer())


@pytest.mark.parametrize("positions", PositionsConfig.choices)
@pytest.mark.parametrize("kernel", DIFFERENTIABLE)
@pytest.mark.parametrize("window", [None, 2])
@pytest.mark.parametrize("chunks", [(1,) * T, (5, 3), (3, 1, 4)])
def test_cached_equals_whole(positions: str, kernel: str, window: int | None, chunks: tuple[int, ...]) -> None:
    attention = MultiHeadAttentionConfig(kernel=kernel, window=window)
    module = stack(positions=PositionsConfig.choice(positions)(), attention=attention, num_kv_heads=2)
    for documents, where in ((None, ROW), (DOCUMENTS, POSITIONS)):
        whole = module(hidden(), where, documents)
        cache, start, parts = Cache(), 0, []
        for length in chunks:
            part = slice(start, start + length)
            of_part = None if documents is None else documents[:, part]
            parts.append(module(hidden()[:, part], where[:, part], of_part, cache=cache))
            start += length
        torch.testing.assert_close(torch.cat(parts, dim=1), whole)


# ---------------------------------------------------------------------------------------------------------------- parts


@pytest.mark.parametrize("name", PLACEMENTS)
def test_final_norm_is_derived_from_the_placement(name: str) -> None:
    module = stack(placement=name)
    assert isinstance(module.norm, nn.Identity) != PLACEMENTS[name].needs_final_norm
    assert sum(isinstance(part, nn.LayerNorm) for part in module.modules()) == (
        2 * 2 * sum(PLACEMENTS[name]) + PLACEMENTS[name].needs_final_norm
    )


@pytest.mark.parametrize("cross", [False, True])
def test_layers_and_branches(cross: bool) -> None:
    module = stack(num_layers=3, cross=cross)
    assert len(module.blocks) == 3
    branches = [part for part in module.modules() if isinstance(part, Residual)]
    assert len(branches) == 3 * (3 if cross else 2)
    assert {part.site.depth.num_branches for part in module.modules() if hasattr(part, "site")} == {len(branches), 0}


@pytest.mark.parametrize("cross", [False, True])
@pytest.mark.parametrize("layers, absent", [({}, 4), ({"1": {"feed_forward": "plain"}}, 3)])
def test_branches_that_are_not_there_do_not_count(layers: dict[str, Any], absent: int, cross: bool) -> None:
    """1/√(branches) scales them, and GPT-2's initialization draws their last weights with it."""
    only_attention = {"feed_forward": NoFeedForwardConfig(), "feed_forward_dim": None}
    module = stack(num_layers=4, cross=cross, layers=layers, **only_attention, residual=ScaledBranchResidualConfig())
    branches = [part for part in module.modules() if isinstance(part, Residual)]
    assert len(branches) == 4 * (3 if cross else 2) - absent
    assert {branch.sum.scale for branch in branches} == {len(branches) ** -0.5}
    sites = {part.site.depth.num_branches for part in module.modules() if hasattr(part, "site")}
    assert sites - {0} == {len(branches)}


def test_shared_and_parallel_layers_count_every_branch() -> None:
    """What is added to the stream is as much as in a plain stack."""
    for settings in ({"sharing": AllSharedConfig()}, {"block": ParallelBlockConfig()}):
        module = stack(num_layers=4, **settings)
        assert {part.site.depth.num_branches for part in module.modules() if hasattr(part, "site")} == {8, 0}


def test_widths() -> None:
    module = stack(num_heads=3, head_dim=5, feed_forward_dim=None, num_kv_heads=1)
    attention, feed_forward = module.blocks[0].self_attention.sublayer, module.blocks[0].feed_forward.sublayer
    assert attention.project.query.weight.shape == (15, D)
    assert attention.project.key.weight.shape == attention.project.value.weight.shape == (5, D)
    assert attention.output.weight.shape == (D, 15)
    assert feed_forward.input.weight.shape == (4 * D, D)
    assert module(hidden(), ROW).shape == (B, T, D)


def test_a_group_for_each_head_is_the_default() -> None:
    torch.testing.assert_close(stack(num_kv_heads=4)(hidden(), ROW), stack()(hidden(), ROW))


PLACES = {"attention": 2, "residual": 4, "feed_forward": 2, "final": 1}


@pytest.mark.parametrize("place", PLACES)
def test_dropout_acts_at_its_place_only(place: str) -> None:
    """Each field alone; `embedding` acts before the stack and is tested with the models."""
    module = stack(dropout=DropoutConfig(**{place: 0.5}))
    modules = [name for name, part in module.named_modules() if isinstance(part, nn.Dropout)]
    attentions = [b.self_attention.sublayer.scoring.in_training.dropout for b in module.blocks]
    assert sum(rate > 0 for rate in attentions) + len(modules) == PLACES[place]
    assert (place == "attention") == all(rate == 0.5 for rate in attentions)
    assert all(place == "final" or f"{place}" in name or "dropout" in name for name in modules)
    still = stack()(hidden(), ROW)
    assert torch.equal(module.eval()(hidden(), ROW), still)
    assert not torch.allclose(module.train()(hidden(), ROW), still)


def test_final_dropout_is_of_the_output() -> None:
    out = stack(dropout=DropoutConfig(final=0.5)).train()(hidden(), ROW)
    still = stack()(hidden(), ROW)
    dropped = out == 0
    assert 0.3 < dropped.double().mean() < 0.7
    torch.testing.assert_close(out[~dropped], 2 * still[~dropped])


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"placement": "prepost"}, "placement: unknown norm placement 'prepost'; did you mean 'post'"),
        ({"num_heads": 5}, "num_heads: 5 heads do not divide dim=128; choose a divisor or set head_dim"),
        ({"num_kv_heads": 3}, r"num_kv_heads: 3 does not divide num_heads=4 \(legal: 1, 2, 4\)"),
        ({"num_kv_heads": 8}, r"num_kv_heads: 8 does not divide num_heads=4 \(legal: 1, 2, 4\)"),
        ({"num_layers": 0}, "num_layers: 0 must be at least 1"),
        ({"head_dim": 3, "positions": RotaryConfig()}, "rotary positions need an even head_dim, not head_dim=3"),
    ],
)
def test_refusals(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Stack(StackConfig(**settings), causal=True)
