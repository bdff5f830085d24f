"""OLMo 2: OLMo Team 2025, arXiv:2501.00656.

Llama with norms after the sublayers in place of before them, and norms over the whole width of queries and keys.
"""

from __future__ import annotations

from zoo.interop.base import (
    ACTIVATION_NAMES,
    ARCHITECTURES,
    ATTENTION_BIASES,
    HARMLESS,
    REQUIRED,
    Architecture,
    Field,
    Rule,
)
from zoo.interop.labels import LAST_TOKEN
from zoo.interop.llama import ATTENTION, FEED_FORWARD, rules
from zoo.interop.rope import modernize, rope
from zoo.models import ModelConfig

NORMS = {
    "self_attn.q_norm": "self_attention.sublayer.query_norm.norm",
    "self_attn.k_norm": "self_attention.sublayer.key_norm.norm",
    "post_attention_layernorm": "self_attention.after",
    "post_feedforward_layernorm": "feed_forward.after",
}


def weights(config: ModelConfig) -> tuple[Rule, ...]:
    """Where each module of OLMo 2 is with us."""
    return rules(config, ATTENTION | FEED_FORWARD | NORMS)


OLMO2 = Architecture(
    name="olmo2",
    opens="OLMo 2",
    paper="arXiv:2501.00656",
    described="2025-01",
    classes={
        "Olmo2ForCausalLM": ("language_model",),
        "Olmo2ForSequenceClassification": ("sequence_classification",),
        "Olmo2Model": (),
    },
    constant={
        "kind": "decoder",
        "placement": "branch_output",
        "norm": {"kind": "rms_norm"},
        "positions": {"kind": "rotary"},
        "attention": {"query_key_norm": {"over": "width", "norm": {"kind": "rms_norm"}}},
        "feed_forward": {"kind": "gated", "bias": False},
        "heads": {"language_model": {"kind": "language_model"}, "sequence_classification": LAST_TOKEN},
        "initialization": {"kind": "bert"},
    },
    fields=(
        Field("vocab_size", ("vocab_size",), 50304),
        Field("hidden_size", ("dim",), 4096),
        Field("num_hidden_layers", ("num_layers",), 32),
        Field("num_attention_heads", ("num_heads",), 32),
        Field("num_key_value_heads", ("num_kv_heads",)),
        Field("head_dim", ("head_dim",)),
        Field("intermediate_size", ("feed_forward_dim",), 11008),
        Field("max_position_embeddings", ("max_length",), 2048),
        Field("hidden_act", ("feed_forward.activation",), "silu", ACTIVATION_NAMES),
        Field("rms_norm_eps", ("norm.eps", "attention.query_key_norm.norm.eps"), 1e-5),
        Field("attention_bias", ATTENTION_BIASES, False),
        Field("tie_word_embeddings", ("heads.language_model.tied",), False),
        Field("pad_token_id", ("embedding.padding_token",), 1),
        Field("attention_dropout", ("dropout.attention",), 0.0),
        Field("initializer_range", ("initialization.std",), 0.02),
    ),
    required={
        **REQUIRED,
        "is_encoder_decoder": (False,),
        "rope_parameters.partial_rotary_factor": (1.0, 1, None),
    },
    harmless=HARMLESS,
    weights=weights,
    together=(rope(),),
    modernize=modernize,
    prefix="model",
)
ARCHITECTURES.add(OLMO2.name, OLMO2)
