"""Latent attention is DeepSeek-V3's, and keys and values really come from the narrow latent."""

from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import DeepseekV3Config
from transformers.models.deepseek_v3.modeling_deepseek_v3 import DeepseekV3Attention, DeepseekV3RotaryEmbedding

from tests.nn.attend.cases import DIFFERENTIABLE
from tests.nn.test_attention import B, D, M, S, T, attention, context
from tests.oracle import lifted, oracle_model
from zoo.errors import ConfigError
from zoo.models.create import model_config
from zoo.nn.attention import Attention
from zoo.nn.latent_attention import LatentAttentionConfig, LatentProjections
from zoo.nn.mask import AttentionMask
from zoo.nn.norm import RMSNormConfig
from zoo.nn.positions.base import PositionsShape
from zoo.nn.positions.rotary import RotaryConfig
from zoo.nn.projection import AttentionShape, Heads

HEADS = Heads(4, 4, 10)
SHARED, OWN, VALUE, RANK = 4, 6, 5, 7


def config_of(query_rank: int | None, bias: bool, kernel: str) -> LatentAttentionConfig:
    return LatentAttentionConfig(
        kernel=kernel,
        query_rank=query_rank,
        key_value_rank=RANK,
        shared_key_dim=SHARED,
        value_dim=VALUE,
        latent_bias=bias,
        output_bias=bias,
    )


def deepseek(query_rank: int | None, bias: bool) -> tuple[Any, tuple[Tensor, Tensor]]:
    """Its attention and its tables of rotation, lifted."""
    config = DeepseekV3Config(
        hidden_size=D,
        num_attention_heads=HEADS.num_heads,
        num_key_value_heads=HEADS.num_heads,
        q_lora_rank=query_rank,
        kv_lora_rank=RANK,
        qk_rope_head_dim=SHARED,
        qk_nope_head_dim=OWN,
        v_head_dim=VALUE,
        attention_bias=bias,
        attn_implementation="eager",
        rope_parameters={"rope_type": "default", "rope_theta": 100.0},
    )
    with lifted():
        tables = DeepseekV3RotaryEmbedding(config)(torch.empty(0).double(), torch.arange(T)[None])
    return oracle_model(lambda c: DeepseekV3Attention(c, layer_idx=0), config), tables


def shared_first(weight: Tensor) -> Tensor:
    """Rows of each head, its own channels and then the shared ones, into our order."""
    heads = weight.unflatten(0, (HEADS.num_heads, OWN + SHARED))
    return torch.cat((heads[:, OWN:], heads[:, :OWN]), dim=1).flatten(0, 1)


def weights_of(theirs: dict[str, Tensor], query_rank: int | None, bias: bool) -> dict[str, Tensor]:
    keys_values = theirs["kv_b_proj.weight"].unflatten(0, (HEADS.num_heads, OWN + VALUE))
    down = {part: theirs[f"kv_a_proj_with_mqa.{part}"] for part in (("weight", "bias") if bias else ("weight",))}
    found = {
        "query.weight": shared_first(theirs["q_b_proj.weight" if query_rank else "q_proj.weight"]),
        "key.weight": keys_values[:, :OWN].flatten(0, 1),
        "value.weight": keys_values[:, OWN:].flatten(0, 1),
        "key_value_norm.weight": theirs["kv_a_layernorm.weight"],
        **{f"key_value_latent.{part}": tensor[:RANK] for part, tensor in down.items()},
        **{f"shared_key.{part}": tensor[RANK:] for part, tensor in down.items()},
    }
    if query_rank:
        found |= {f"query_latent.{part}": theirs[f"q_a_proj.{part}"] for part in down}
        found["query_norm.weight"] = theirs["q_a_layernorm.weight"]
    return {f"project.{name}": w for name, w in found.items()} | {f"output.{p}": theirs[f"o_proj.{p}"] for p in down}


@pytest.mark.parametrize("kernel", DIFFERENTIABLE)
@pytest.mark.parametrize("query_rank", [None, 3])
@pytest.mark.parametrize("bias", [False, True])
def test_as_deepseek(kernel: str, query_rank: int | None, bias: bool) -> None:
    """Outputs and gradients, with rotation of the shared channels in its layout."""
    oracle, tables = deepseek(query_rank, bias)
    module = Attention(config_of(query_rank, bias, kernel), AttentionShape(D, HEADS, D)).double()
    theirs = dict(oracle.named_parameters())
    weights = weights_of(theirs, query_rank, bias)
    assert {n: w.shape for n, w in weights.items()} == {n: w.shape for n, w in module.named_parameters()}
    hidden = torch.randn(B, T, D, dtype=torch.float64)
    visible = torch.ones(T, T).tril().bool()
    masked = torch.zeros(1, 1, T, T, dtype=torch.float64).masked_fill(~visible, -torch.inf)
    with lifted():
        expected, _ = oracle(hidden, position_embeddings=tables, attention_mask=masked)
    rotary = RotaryConfig(theta=100.0, width=SHARED, layout="interleaved").build(PositionsShape(D, 4, 10, T, True))
    turns = rotary.prepare(torch.arange(T)[None], torch.float64)
    around = context(kernel, AttentionMask(causal=True))._replace(rotate=lambda q, k: rotary.rotate(q, k, turns))
    found = torch.func.functional_call(module, weights, (hidden, around))
    torch.testing.assert_close(found, expected)
    parameters = list(theirs.values())
    ours, reference = (torch.autograd.grad(out.pow(2).sum(), parameters) for out in (found, expected))
    for name, one, other in zip(theirs, ours, reference, strict=True):
        torch.testing.assert_close(one, other, msg=name)


@pytest.mark.parametrize("kernel", DIFFERENTIABLE)
def test_cross_attention_by_hand(kernel: str) -> None:
    config = LatentAttentionConfig(kernel=kernel, key_value_rank=RANK, shared_key_dim=SHARED, value_dim=VALUE)
    module = attention(config, HEADS, M)
    hidden, memory = torch.randn(B, T, D, dtype=torch.float64), torch.randn(B, S, M, dtype=torch.float64)
    down = module.project
    assert isinstance(down, LatentProjections)
    latent = down.key_value_norm(down.key_value_latent(memory))
    found = []
    for h in range(HEADS.num_heads):
        q = down.query(hidden)[..., h * 10 : (h + 1) * 10]
        own, v = (layer(latent).chunk(HEADS.num_heads, dim=-1)[h] for layer in (down.key, down.value))
        scores = q[..., :SHARED] @ down.shared_key(memory).mT + q[..., SHARED:] @ own.mT
        found.append((scores * 10**-0.5).softmax(-1) @ v)
    expected = module.output(torch.cat(found, dim=-1))
    torch.testing.assert_close(module(hidden, context(kernel, AttentionMask(), S), memory), expected)


def test_widths_that_are_left_out() -> None:
    widths = LatentAttentionConfig().widths(HEADS)
    assert widths == (None, 40, 5, 10)
    assert LatentAttentionConfig().widths(Heads(2, 2, 3)).shared == 1


def test_sites() -> None:
    module = LatentProjections(LatentAttentionConfig(query_rank=3).widths(HEADS), RMSNormConfig(), False, shape())
    roles = {name: layer.site.role for name, layer in module.named_children() if hasattr(layer, "site")}
    assert roles == {name: name for name in roles}
    assert set(roles) == {"query_latent", "query", "key_value_latent", "shared_key", "key", "value"}
    assert module.memory_layers() == [module.key_value_latent, module.shared_key, module.key, module.value]


def shape() -> AttentionShape:
    return AttentionShape(D, HEADS, M)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"num_kv_heads": 2}, r"attention.kind: 'latent' .* num_kv_heads=2 must be num_heads=4"),
        ({"head_dim": 1}, r"attention.shared_key_dim: 1 leaves no channel of head_dim=1"),
        ({"attention": {"shared_key_dim": 32}}, r"attention.shared_key_dim: 32 leaves no channel of head_dim=32"),
        ({"attention": {"latent_norm": "batch_norm"}}, r"attention.latent_norm: 'batch_norm' "),
    ],
)
def test_refusals(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        model_config({"kind": "decoder", "attention": {"kind": "latent"}}, **settings)
