"""Differential attention is DiffLlama's and the paper's, whatever kernel computes it."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import DiffLlamaConfig
from transformers.models.diffllama.modeling_diffllama import DiffLlamaAttention

from tests.nn.attend.cases import DIFFERENTIABLE
from tests.nn.test_attention import B, D, M, S, T, attention, context, part
from tests.oracle import lifted, oracle_model
from zoo.errors import ConfigError
from zoo.models.create import model_config
from zoo.nn.attention import Attention, AttentionConfig, MultiHeadAttentionConfig
from zoo.nn.differential import DifferentialConfig, DifferentialHeads
from zoo.nn.init import BertInitializationConfig, initialize
from zoo.nn.mask import AttentionMask
from zoo.nn.norm import RMSNormConfig
from zoo.nn.projection import AttentionShape, Heads

WIDTH = 6
NO_BIASES = {f"{name}_bias": False for name in ("query", "key", "value", "output")}


def differential(heads: Heads, kernel: str = "reference", memory_dim: int = D, **settings: Any) -> Attention:
    """In float64, every weight random."""
    config = MultiHeadAttentionConfig(kernel=kernel, **{"differential": DifferentialConfig(), **settings})
    return attention(config, heads, memory_dim)


def by_pairs(weight: Tensor, num_heads: int, groups: int) -> Tensor:
    """Heads in DiffLlama's order, first sides of all pairs before all second sides, into ours: pair by pair."""
    order = torch.arange(num_heads).reshape(2, groups, -1).transpose(0, 1).flatten()
    return weight.unflatten(0, (num_heads, -1))[order].flatten(0, 1)


@pytest.mark.parametrize("kernel", DIFFERENTIABLE)
@pytest.mark.parametrize("heads", [Heads(4, 4, WIDTH), Heads(8, 4, WIDTH), Heads(4, 2, WIDTH)], ids=str)
@pytest.mark.parametrize("layer", [0, 3])
def test_as_diffllama(kernel: str, heads: Heads, layer: int) -> None:
    config = DiffLlamaConfig(
        hidden_size=D,
        num_attention_heads=heads.num_heads,
        num_key_value_heads=heads.num_kv_heads,
        head_dim=WIDTH,
        rms_norm_eps=1e-3,
        attn_implementation="eager",
    )
    oracle = oracle_model(lambda c: DiffLlamaAttention(c, layer_idx=layer), config)
    norm = DifferentialConfig(norm=RMSNormConfig(eps=1e-3))
    ours = MultiHeadAttentionConfig(kernel=kernel, differential=norm, **NO_BIASES)  # type: ignore[arg-type]
    module = Attention(ours, AttentionShape(D, heads, D, layer=layer)).double()
    theirs, groups = dict(oracle.named_parameters()), heads.num_kv_heads // 2
    weights = {
        "project.query.weight": by_pairs(theirs["q_proj.weight"], heads.num_heads, groups),
        "project.key.weight": by_pairs(theirs["k_proj.weight"], heads.num_kv_heads, groups),
        "project.value.weight": by_pairs(theirs["v_proj.weight"], heads.num_kv_heads, groups),
        "output.weight": theirs["o_proj.weight"],
        "heads.norm.weight": torch.ones(2 * WIDTH).double(),
    }
    weights |= {f"heads.{one}_{n}": theirs[f"lambda_{one[0]}{n}"] for one in ("query", "key") for n in (1, 2)}
    hidden = torch.randn(B, T, D, dtype=torch.float64)
    visible = torch.ones(T, T).tril().bool()
    bias = torch.zeros(1, 1, T, T, dtype=torch.float64).masked_fill(~visible, -torch.inf)
    unturned = torch.ones(1, T, WIDTH).double(), torch.zeros(1, T, WIDTH).double()
    with lifted():
        expected, _ = oracle(hidden, position_embeddings=unturned, attention_mask=bias)
    found = torch.func.functional_call(module, weights, (hidden, context(kernel, AttentionMask(causal=True))))
    torch.testing.assert_close(found, expected)
    names, parameters = zip(*theirs.items(), strict=True)
    for name, one, other in zip(
        names,
        torch.autograd.grad(found.pow(2).sum(), parameters),
        torch.autograd.grad(expected.pow(2).sum(), parameters),
        strict=True,
    ):
        torch.testing.assert_close(one, other, msg=name)


@pytest.mark.parametrize("kernel", DIFFERENTIABLE)
@pytest.mark.parametrize("cross", [False, True])
def test_formula(kernel: str, cross: bool) -> None:
    """Pairs are neighbours, written out, in self- and cross-attention."""
    heads = Heads(4, 4, WIDTH)
    module = differential(heads, kernel, M if cross else D)
    hidden = torch.randn(B, T, D, dtype=torch.float64)
    memory = torch.randn(B, S, M, dtype=torch.float64) if cross else hidden
    pairs = module.heads
    assert isinstance(pairs, DifferentialHeads)
    start = 0.8 - 0.6
    factor = torch.exp(pairs.query_1 @ pairs.key_1) - torch.exp(pairs.query_2 @ pairs.key_2) + start
    found = []
    for p in (0, 2):
        weights = [
            (part(module.project.query, hidden, h) @ part(module.project.key, memory, h).mT * WIDTH**-0.5).softmax(-1)
            for h in (p, p + 1)
        ]
        values = torch.cat([part(module.project.value, memory, h) for h in (p, p + 1)], dim=-1)
        found.append(pairs.norm((weights[0] - factor * weights[1]) @ values) * (1 - start))
    expected = module.output(torch.cat(found, dim=-1))
    around = context(kernel, AttentionMask(), memory.shape[1])
    torch.testing.assert_close(module(hidden, around, memory if cross else None), expected)


VECTORS = ("query_1", "key_1", "query_2", "key_2")


def drawn(seed: int, layer: int = 0, dtype: torch.dtype = torch.float32, **settings: Any) -> DifferentialHeads:
    """Pairs of heads 64 wide, as a model starts with them."""
    module = DifferentialConfig(**settings).build(AttentionShape(D, Heads(4, 4, 64), D, layer=layer), 128).to(dtype)
    initialize(module, BertInitializationConfig(), seed)
    return module


@pytest.mark.parametrize(
    "layer, settings, start",
    [
        (0, {}, 0.2),
        (1, {}, 0.8 - 0.6 * math.exp(-0.3)),
        (100, {}, 0.8),
        (7, {"lambda_init": 0.5}, 0.5),
    ],
)
def test_factor_starts_about_where_it_says(layer: int, settings: dict[str, float], start: float) -> None:
    """A product of 64 channels has standard deviation √64 · 0.1² = 0.08, the difference of two √2 times that."""
    modules = [drawn(seed, layer, **settings) for seed in range(50)]
    factors = torch.stack([module.factor() for module in modules])
    assert all(module.lambda_init == pytest.approx(start) for module in modules)
    assert factors.mean().item() == pytest.approx(start, abs=4 * 0.113 / math.sqrt(50))
    assert factors.std().item() == pytest.approx(0.113, rel=0.4)


def test_vectors_are_normal_numbers_of_their_own() -> None:
    """0.1 wide as in the paper, each vector and each seed by itself, the same in every precision."""
    one, same, other = drawn(0), drawn(0, dtype=torch.float64), drawn(1)
    vectors = torch.stack([getattr(module, name) for module in (one, other) for name in VECTORS])
    assert vectors.std().item() == pytest.approx(0.1, rel=0.15)
    assert abs(vectors.mean().item()) < 4 * 0.1 / math.sqrt(vectors.numel())
    assert (torch.corrcoef(vectors) - torch.eye(len(vectors))).abs().max() < 0.5
    for name in VECTORS:
        assert torch.equal(getattr(one, name).double(), getattr(same, name))


def test_layers_draw_their_own_vectors() -> None:
    model = model_config({"kind": "decoder", "vocab_size": 9, "num_layers": 2}, attention={"differential": {}}).build()
    one, other = (dict(block.named_parameters()) for block in model.backbone.stack.blocks)  # type: ignore[attr-defined]
    for name in VECTORS:
        key = f"self_attention.sublayer.heads.{name}"
        assert not torch.equal(one[key], other[key])


def test_channels_learn_apart() -> None:
    """No two channels of a vector have the same gradient, as they would for ever if all started alike."""
    module = drawn(0)
    module.factor().backward()
    for name in VECTORS:
        gradient_K = getattr(module, name).grad
        assert len(gradient_K.unique()) == len(gradient_K)


@pytest.mark.parametrize(
    "settings", [{"gate": "head"}, {"gate": "element"}, {"sinks": "learned"}, {"cap": 2.0}], ids=str
)
def test_with_other_slots(settings: dict[str, Any]) -> None:
    """Kernels agree, and what comes out is as many heads as there are pairs."""
    model = {"kind": "decoder", "dim": 16, "num_heads": 4, "vocab_size": 9, "num_layers": 1}
    given = {"differential": {}, "kernel": "reference", **settings}
    module = model_config(model, attention=given).build().backbone.stack.blocks[0].self_attention.sublayer  # type: ignore[attr-defined]
    hidden = torch.randn(B, T, 16)
    assert module(hidden, context("reference", AttentionMask(causal=True))).shape == (B, T, 16)
    if settings == {"gate": "head"}:
        assert module.gate.project.out_features == 2


def test_refusals() -> None:
    with pytest.raises(ConfigError, match=r"attention.differential: .* num_kv_heads=1 must be even"):
        model_config({"kind": "decoder", "num_kv_heads": 1, "attention": {"differential": {}}})
    with pytest.raises(ConfigError, match=r"attention.differential.norm: 'batch_norm' "):
        model_config({"kind": "decoder", "attention": {"differential": {"norm": "batch_norm"}}})
    with pytest.raises(ConfigError, match=r"lambda_init: 1.0 must be below 1"):
        DifferentialConfig(lambda_init=1.0)


def test_a_plain_attention_has_nothing_of_it() -> None:
    config: AttentionConfig = MultiHeadAttentionConfig(kernel="reference")
    assert not list(attention(config).heads.parameters())
