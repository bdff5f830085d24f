"""OLMo 2: OLMo Team 2025, arXiv:2501.00656.

Llama with norms after the sublayers in place of before them, and norms over the whole width of queries and keys.
"""

from __future__ import annotations

from zoo.interop.base import ARCHITECTURES, HARMLESS, REQUIRED, Architecture, Field, Rule, variant
from zoo.interop.labels import LAST_TOKEN
from zoo.interop.llama import ATTENTION, FEED_FORWARD, LLAMA, rules
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
        **LLAMA.constant,
        "placement": "branch_output",
        "attention": {"query_key_norm": {"over": "width", "norm": {"kind": "rms_norm"}}},
        "feed_forward": {"kind": "gated", "bias": False},
        "heads": {"language_model": {"kind": "language_model"}, "sequence_classification": LAST_TOKEN},
        "initialization": {"kind": "bert"},
    },
    fields=variant(
        LLAMA.fields,
        {"vocab_size": 50304, "pad_token_id": 1},
        Field("rms_norm_eps", ("norm.eps", "attention.query_key_norm.norm.eps"), 1e-5),
        Field("initializer_range", ("initialization.std",), 0.02),
        without=("mlp_bias",),
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
