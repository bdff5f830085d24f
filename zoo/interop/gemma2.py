"""Gemma 2: Gemma Team 2024, arXiv:2408.00118.

Norms before and after each sublayer whose weights count from 1, soft caps on scores and logits, every other layer with
a sliding window, embeddings times √dim, and a factor on the scores that need not be that of the head.
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
    Mapped,
    Rule,
    Together,
)
from zoo.interop.labels import LAST_TOKEN, TOKEN_DROPOUT, TOKENS
from zoo.interop.layer_types import FULL, SLIDING, WINDOW, read_windows, write_windows
from zoo.interop.llama import ATTENTION, FEED_FORWARD, rules
from zoo.interop.rope import modernize, rope
from zoo.models import ModelConfig

NORMS = {
    "input_layernorm": "self_attention.before",
    "post_attention_layernorm": "self_attention.after",
    "pre_feedforward_layernorm": "feed_forward.before",
    "post_feedforward_layernorm": "feed_forward.after",
}


ACTIVATIONS = {"gelu_pytorch_tanh": "gelu_tanh"} | ACTIVATION_NAMES
"""The spelling of its own files first, which is the one that is written: theirs rounds otherwise by it."""


def weights(config: ModelConfig) -> tuple[Rule, ...]:
    """Where each module of Gemma 2 is with us."""
    return rules(config, ATTENTION | FEED_FORWARD | NORMS)


def read_sliding(theirs: Mapped) -> Mapped:
    """Sliding windows in every other layer from the first on, or in those that are listed."""
    num_layers = theirs["num_hidden_layers"]
    types = theirs.get("layer_types") or [FULL if layer % 2 else SLIDING for layer in range(num_layers)]
    return read_windows(types, theirs.get("sliding_window", 4096), num_layers)


def write_sliding(config: ModelConfig) -> Mapped:
    """The layers with a window, listed."""
    types, places = write_windows(config)
    return {"layer_types": types, "sliding_window": places}


def read_scale(theirs: Mapped) -> Mapped:
    """The factor 1/√scalar, which is usually that of the head."""
    scalar = theirs.get("query_pre_attn_scalar", 256)
    if scalar == theirs["head_dim"]:
        return {"attention.scale": {"kind": "inverse_sqrt"}}
    return {"attention.scale": {"kind": "constant", "value": scalar**-0.5}}


def write_scale(config: ModelConfig) -> Mapped:
    """The scalar whose root divides the scores."""
    head_dim = config.attention_heads.head_dim
    factor = config.attention.scale.factor(head_dim)
    if factor == head_dim**-0.5:
        return {"query_pre_attn_scalar": head_dim}
    exact = round(factor**-2)
    return {"query_pre_attn_scalar": exact if exact and exact**-0.5 == factor else factor**-2}


GEMMA2 = Architecture(
    name="gemma2",
    opens="Gemma 2",
    paper="arXiv:2408.00118",
    described="2024-08",
    classes={
        "Gemma2ForCausalLM": ("language_model",),
        "Gemma2ForSequenceClassification": ("sequence_classification",),
        "Gemma2ForTokenClassification": ("token_classification",),
        "Gemma2Model": (),
    },
    constant={
        "kind": "decoder",
        "placement": "sandwich",
        "norm": {"kind": "rms_norm", "offset": True},
        "positions": {"kind": "rotary"},
        "embedding": {"scale": "sqrt_dim"},
        "feed_forward": {"kind": "gated", "bias": False},
        "heads": {
            "language_model": {"kind": "language_model"},
            "sequence_classification": LAST_TOKEN,
            "token_classification": TOKENS,
        },
        "initialization": {"kind": "gpt2"},
    },
    fields=(
        Field("vocab_size", ("vocab_size",), 256000),
        Field("hidden_size", ("dim",), 2304),
        Field("num_hidden_layers", ("num_layers",), 26),
        Field("num_attention_heads", ("num_heads",), 8),
        Field("num_key_value_heads", ("num_kv_heads",), 4),
        Field("head_dim", ("head_dim",), 256),
        Field("intermediate_size", ("feed_forward_dim",), 9216),
        Field("max_position_embeddings", ("max_length",), 8192),
        Field("hidden_activation", ("feed_forward.activation",), "gelu_pytorch_tanh", ACTIVATIONS),
        Field("rms_norm_eps", ("norm.eps",), 1e-6),
        Field("attention_bias", ATTENTION_BIASES, False),
        Field("attn_logit_softcapping", ("attention.cap",), 50.0),
        Field("final_logit_softcapping", ("heads.language_model.cap",), 30.0),
        Field("tie_word_embeddings", ("heads.language_model.tied",), True),
        Field("pad_token_id", ("embedding.padding_token",), 0),
        Field("attention_dropout", ("dropout.attention",), 0.0),
        Field("initializer_range", ("initialization.std", "initialization.position_std"), 0.02),
    ),
    required={
        **REQUIRED,
        "is_encoder_decoder": (False,),
        "rope_parameters.partial_rotary_factor": (1.0, 1, None),
        "use_bidirectional_attention": (False, None),
    },
    harmless=HARMLESS
    | {
        "cache_implementation",  # how it is computed
        "hidden_act",  # never read: hidden_activation is
        "sliding_window_size",  # never read: sliding_window is
    },
    weights=weights,
    together=(
        TOKEN_DROPOUT,
        rope(),
        Together(("sliding_window", "layer_types"), read_sliding, write_sliding, ours=WINDOW),
        Together(
            ("query_pre_attn_scalar",), read_scale, write_scale, ours={"attention.scale.value": "query_pre_attn_scalar"}
        ),
    ),
    modernize=modernize,
    prefix="model",
)
ARCHITECTURES.add(GEMMA2.name, GEMMA2)
