"""Attention equals the paper's equations written out, whatever is switched on."""

import itertools
import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.nn.attend.cases import DIFFERENTIABLE
from zoo.errors import ConfigError
from zoo.nn.attend import KERNELS, Request
from zoo.nn.attention import Attention, AttentionConfig, AttentionContext, MultiHeadAttentionConfig, no_rotation
from zoo.nn.mask import AttentionMask
from zoo.nn.norm import LayerNormConfig, RMSNormConfig
from zoo.nn.projection import AttentionShape, Heads
from zoo.nn.query_key_norm import QueryKeyNormConfig
from zoo.nn.scale import ConstantScaleConfig, InverseSqrtScaleConfig, LearnedScaleConfig, ScaleConfig
from zoo.nn.score import AdditiveScoreConfig

B, T, S, D, M = 2, 5, 7, 12, 8
HEADS = Heads(4, 2, 6)


def attention(
    config: AttentionConfig | None = None, heads: Heads = HEADS, memory_dim: int = D, dropout: float = 0.0
) -> Attention:
    """In float64, every weight random."""
    config = config or MultiHeadAttentionConfig(kernel="reference")
    module = Attention(config, AttentionShape(D, heads, memory_dim), dropout).double()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64) / 2)
    return module


def context(kernel: str, mask: AttentionMask, num_keys: int = T) -> AttentionContext:
    request = Request(mask, None, num_keys, torch.empty(B, T, 1))
    return AttentionContext(KERNELS[kernel], KERNELS[kernel].prepare(request), no_rotation)


def by_hand(module: Attention, hidden: Tensor, memory: Tensor, visible: Tensor, scale: float) -> Tensor:
    """softmax(scale · q kᵀ) v for each head; query head h reads key head h // 2."""
    heads = []
    for h in range(HEADS.num_heads):
        q = module.query_norm(part(module.project.query, hidden, h))
        k = module.key_norm(part(module.project.key, memory, h // 2))
        scores = (scale * q @ k.mT).masked_fill(~visible, -math.inf)
        heads.append(scores.softmax(-1) @ part(module.project.value, memory, h // 2))
    return module.output(torch.cat(heads, dim=-1))


def part(layer: nn.Linear, x: Tensor, head: int) -> Tensor:
    rows = slice(head * HEADS.head_dim, (head + 1) * HEADS.head_dim)
    return functional.linear(x, layer.weight[rows], None if layer.bias is None else layer.bias[rows])


@pytest.mark.parametrize("kernel", DIFFERENTIABLE)
@pytest.mark.parametrize("scale", [InverseSqrtScaleConfig(), ConstantScaleConfig()], ids=["inverse_sqrt", "one"])
@pytest.mark.parametrize("norm", [None, RMSNormConfig(), LayerNormConfig()], ids=["plain", "rms", "layer"])
@pytest.mark.parametrize("causal", [False, True])
def test_self_attention(kernel: str, scale: ScaleConfig, norm: RMSNormConfig | None, causal: bool) -> None:
    module = attention(
        MultiHeadAttentionConfig(kernel=kernel, scale=scale, query_key_norm=norm and QueryKeyNormConfig(norm=norm))
    )
    hidden = torch.randn(B, T, D, dtype=torch.float64)
    visible = torch.ones(T, T).tril().bool() if causal else torch.ones(T, T).bool()
    expected = by_hand(module, hidden, hidden, visible, scale.factor(HEADS.head_dim))
    torch.testing.assert_close(module(hidden, context(kernel, AttentionMask(causal))), expected)


@pytest.mark.parametrize("kernel", DIFFERENTIABLE)
def test_cross_attention(kernel: str) -> None:
    module = attention(MultiHeadAttentionConfig(kernel=kernel), memory_dim=M)
    hidden, memory = torch.randn(B, T, D, dtype=torch.float64), torch.randn(B, S, M, dtype=torch.float64)
    expected = by_hand(module, hidden, memory, torch.ones(T, S).bool(), HEADS.head_dim**-0.5)
    torch.testing.assert_close(module(hidden, context(kernel, AttentionMask(), S), memory), expected)


@pytest.mark.parametrize("biases", [*itertools.product([True, False], repeat=4)], ids=str)
def test_each_bias_is_a_field_of_its_own(biases: tuple[bool, ...]) -> None:
    places = ("query", "key", "value", "output")
    config = MultiHeadAttentionConfig(**{f"{place}_bias": bias for place, bias in zip(places, biases, strict=True)})
    module = Attention(config, AttentionShape(D, HEADS, D))
    parts = {**dict(module.project.named_children()), "output": module.output}
    assert tuple(parts[place].bias is not None for place in places) == biases


def test_a_group_for_each_head_is_multi_head() -> None:
    heads = Heads(4, 4, 6)
    grouped, full = attention(heads=HEADS), attention(heads=heads)
    with torch.no_grad():
        full.load_state_dict({name: widened(name, value) for name, value in grouped.state_dict().items()})
    hidden = torch.randn(B, T, D, dtype=torch.float64)
    mask = AttentionMask(causal=True)
    torch.testing.assert_close(grouped(hidden, context("reference", mask)), full(hidden, context("reference", mask)))


def widened(name: str, value: Tensor) -> Tensor:
    """Each key and value head twice."""
    if name.split(".")[1] not in ("key", "value"):
        return value
    return value.unflatten(0, (HEADS.num_kv_heads, HEADS.head_dim)).repeat_interleave(2, dim=0).flatten(0, 1)


def test_parameters_shrink_with_the_groups() -> None:
    def count(num_kv_heads: int) -> int:
        return sum(p.numel() for p in attention(heads=Heads(4, num_kv_heads, 6)).parameters())

    assert count(4) - count(2) == count(2) - count(1) + (D + 1) * 12 == 2 * (D + 1) * 12


def test_rotation_acts_between_projection_and_scores() -> None:
    """A rotation by −1 of queries and keys alike changes nothing; of the queries alone it flips the scores."""
    module = attention()
    hidden = torch.randn(B, T, D, dtype=torch.float64)
    plain = context("reference", AttentionMask())
    both = plain._replace(rotate=lambda q, k: (-q, -k))
    one = plain._replace(rotate=lambda q, k: (-q, k))
    torch.testing.assert_close(module(hidden, both), module(hidden, plain))
    flipped = attention()
    with torch.no_grad():
        flipped.project.query.weight.neg_()
        flipped.project.query.bias.neg_()
    torch.testing.assert_close(module(hidden, one), flipped(hidden, plain))


class Recorder:
    """A cache that remembers what it was given and holds one older key."""

    def extend(self, k_BGSK: Tensor, v_BGSK: Tensor) -> tuple[Tensor, Tensor]:
        self.keys = k_BGSK
        return torch.cat((k_BGSK[:, :, :1], k_BGSK), dim=2), torch.cat((v_BGSK[:, :, :1], v_BGSK), dim=2)


def test_cache_gets_normalized_and_rotated_keys_of_key_heads() -> None:
    module = attention(MultiHeadAttentionConfig(kernel="reference", query_key_norm=QueryKeyNormConfig()))
    hidden, cache = torch.randn(B, T, D, dtype=torch.float64), Recorder()
    rotated = context("reference", AttentionMask(), T + 1)._replace(rotate=lambda q, k: (q, 3 * k))
    out = module(hidden, rotated, None, cache)
    keys = module.project.key(hidden).unflatten(-1, (2, 6)).transpose(1, 2)
    torch.testing.assert_close(cache.keys, 3 * module.key_norm(keys))
    assert out.shape == (B, T, D)


@pytest.mark.parametrize("kernel", DIFFERENTIABLE)
def test_dropout_is_of_weights_and_in_training_only(kernel: str) -> None:
    module = attention(MultiHeadAttentionConfig(kernel=kernel), dropout=0.5)
    hidden = torch.randn(B, T, D, dtype=torch.float64)
    plain = context(kernel, AttentionMask())
    assert torch.equal(module.eval()(hidden, plain), module(hidden, plain))
    assert not torch.equal(module.train()(hidden, plain), module(hidden, plain))
    still = attention(MultiHeadAttentionConfig(kernel=kernel)).train()
    torch.testing.assert_close(still(hidden, plain), module.eval()(hidden, plain))


DROPPING = [name for name in DIFFERENTIABLE if "dropout" in KERNELS[name].features]
CAPPING = [name for name in DIFFERENTIABLE if "cap" in KERNELS[name].features]


@pytest.mark.parametrize("kernel", DROPPING)
def test_dropout_keeps_the_mean_and_drops_as_often_as_it_says(kernel: str) -> None:
    """Of equal weights and values of 1, what comes out counts the weights that are left."""
    module = attention(MultiHeadAttentionConfig(kernel=kernel), Heads(1, 1, 6), dropout=0.25)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
        module.project.value.bias.fill_(1.0)
        module.output.weight.copy_(torch.eye(D, 6))
    length = 400
    torch.manual_seed(3)
    request = Request(AttentionMask(), None, length, torch.empty(B, length, 1), frozenset({"dropout"}))
    around = AttentionContext(KERNELS[kernel], KERNELS[kernel].prepare(request), no_rotation)
    left = module.train()(torch.zeros(B, length, D, dtype=torch.float64), around)[..., 0] * 0.75 * length
    torch.testing.assert_close(left, left.round())
    assert left.mean().item() == pytest.approx(0.75 * length, rel=0.01)
    assert left.std().item() == pytest.approx(math.sqrt(0.25 * 0.75 * length), rel=0.1)


@pytest.mark.parametrize("kernel", CAPPING)
@pytest.mark.parametrize("cross", [False, True])
def test_cap_bounds_scaled_scores(kernel: str, cross: bool) -> None:
    module = attention(MultiHeadAttentionConfig(kernel=kernel, cap=0.7), memory_dim=M if cross else D)
    hidden = torch.randn(B, T, D, dtype=torch.float64)
    memory = torch.randn(B, S, M, dtype=torch.float64) if cross else hidden
    heads = []
    for h in range(HEADS.num_heads):
        q, k = part(module.project.query, hidden, h), part(module.project.key, memory, h // 2)
        scores = 0.7 * torch.tanh(q @ k.mT * HEADS.head_dim**-0.5 / 0.7)
        heads.append(scores.softmax(-1) @ part(module.project.value, memory, h // 2))
    request = Request(AttentionMask(), None, memory.shape[1], hidden, frozenset({"cap"}))
    around = AttentionContext(KERNELS[kernel], KERNELS[kernel].prepare(request), no_rotation)
    found = module(hidden, around, memory if cross else None)
    torch.testing.assert_close(found, module.output(torch.cat(heads, dim=-1)))


def test_one_key_head_serves_all_query_heads() -> None:
    """Multi-query attention is that of all heads with the same keys and values."""
    single, full = attention(heads=Heads(4, 1, 6)), attention(heads=Heads(4, 4, 6))
    weights = single.state_dict()
    shared = {n: w.repeat(4, *[1] * (w.ndim - 1)) for n, w in weights.items() if n.split(".")[1] in ("key", "value")}
    full.load_state_dict(weights | shared)
    hidden, around = torch.randn(B, T, D, dtype=torch.float64), context("reference", AttentionMask(causal=True))
    torch.testing.assert_close(single(hidden, around), full(hidden, around))


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"kernel": "flash"}, r"kernel: unknown kernel 'flash' \(legal: auto, flex, reference, sdpa, varlen\)"),
        (
            {"kernel": "sdpa", "cap": 30.0},
            r"kernel: kernel 'sdpa' cannot do cap=30.0; use one of: flex, reference, auto",
        ),
        (
            {"score": AdditiveScoreConfig(), "kernel": "sdpa"},
            r"kernel: kernel .sdpa. cannot do score=additive; use .*reference",
        ),
        (
            {"score": AdditiveScoreConfig(), "scale": LearnedScaleConfig(), "kernel": "reference"},
            "scale: 'learned' multiplies the queries, inside the tanh of score=additive",
        ),
        ({"cap": 0.0}, "cap: 0.0 must be above 0"),
        ({"window": -1}, "window: -1 must be at least 0"),
    ],
)
def test_refusals(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        MultiHeadAttentionConfig(**settings)  # type: ignore[arg-type]
