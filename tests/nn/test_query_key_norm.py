"""Query-key norms are those of OLMo 2 (over the width) and Qwen 3 (over each head)."""

from typing import Any

import pytest
import torch
from transformers import Olmo2Config, Qwen3Config
from transformers.models.olmo2.modeling_olmo2 import Olmo2Attention
from transformers.models.qwen3.modeling_qwen3 import Qwen3Attention

from tests.nn.test_attention import HEADS, B, D, M, S, T, attention, context
from tests.oracle import lifted, oracle_model
from zoo.errors import ConfigError
from zoo.models.create import model_config
from zoo.nn.attention import MultiHeadAttentionConfig
from zoo.nn.mask import AttentionMask
from zoo.nn.norm import LayerNormConfig, RMSNormConfig
from zoo.nn.query_key_norm import QueryKeyNormConfig, WidthNorm


@pytest.mark.parametrize(
    "over, theirs, config_class", [("width", Olmo2Attention, Olmo2Config), ("head", Qwen3Attention, Qwen3Config)]
)
def test_as_in_transformers(over: Any, theirs: Any, config_class: Any) -> None:
    config = config_class(
        hidden_size=D,
        num_attention_heads=HEADS.num_heads,
        num_key_value_heads=HEADS.num_kv_heads,
        head_dim=HEADS.head_dim,
        rms_norm_eps=1e-3,
        attn_implementation="eager",
    )
    config.head_dim = HEADS.head_dim  # OLMo 2's attention reads it, its config has no field for it
    oracle = oracle_model(lambda c: theirs(c, layer_idx=0), config)
    norm = QueryKeyNormConfig(norm=RMSNormConfig(eps=1e-3), over=over)
    biases = {f"{name}_bias": False for name in ("query", "key", "value", "output")}
    module = attention(MultiHeadAttentionConfig(kernel="reference", query_key_norm=norm, **biases))  # type: ignore[arg-type]
    inner = ".norm" if over == "width" else ""
    names = {
        "project.query": "q_proj",
        "project.key": "k_proj",
        "project.value": "v_proj",
        "output": "o_proj",
        f"query_norm{inner}": "q_norm",
        f"key_norm{inner}": "k_norm",
    }
    weights = oracle.state_dict()
    module.load_state_dict({f"{ours}.weight": weights[f"{name}.weight"] for ours, name in names.items()})
    hidden = torch.randn(B, T, D, dtype=torch.float64)
    unturned = torch.ones(1, T, HEADS.head_dim).double(), torch.zeros(1, T, HEADS.head_dim).double()
    with lifted():
        expected, _ = oracle(hidden, position_embeddings=unturned, attention_mask=None)
    torch.testing.assert_close(module(hidden, context("reference", AttentionMask())), expected)


@pytest.mark.parametrize("over", ["head", "width"])
def test_scores_do_not_depend_on_the_length_of_queries_and_keys(over: Any) -> None:
    """In cross-attention too."""
    norm = QueryKeyNormConfig(norm=LayerNormConfig(eps=1e-30), over=over)
    module = attention(MultiHeadAttentionConfig(kernel="reference", query_key_norm=norm), memory_dim=M)
    hidden, memory = torch.randn(B, T, D, dtype=torch.float64), torch.randn(B, S, M, dtype=torch.float64)
    around = context("reference", AttentionMask(), S)
    before = module(hidden, around, memory)
    with torch.no_grad():
        for layer, factor in ((module.project.query, 3.0), (module.project.key, 0.2)):
            layer.weight *= factor
            layer.bias *= factor
    torch.testing.assert_close(module(hidden, around, memory), before)


def test_the_width_is_that_of_all_heads() -> None:
    module = WidthNorm(torch.nn.LayerNorm(6, elementwise_affine=False, eps=1e-12)).double()
    heads = torch.randn(B, 3, T, 2, dtype=torch.float64)
    found = module(heads)
    torch.testing.assert_close(found.mean(dim=(1, 3)), torch.zeros(B, T).double(), rtol=0, atol=1e-12)
    torch.testing.assert_close(found.pow(2).mean(dim=(1, 3)), torch.ones(B, T).double())


@pytest.mark.parametrize("over", ["head", "width"])
def test_a_norm_that_is_none_is_refused(over: str) -> None:
    with pytest.raises(
        ConfigError, match=r"^attention\.query_key_norm.norm: 'none' .* query_key_norm .*set it to null"
    ):
        model_config({"kind": "decoder", "attention": {"query_key_norm": {"norm": "none", "over": over}}})
