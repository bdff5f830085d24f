"""Qwen3: Qwen Team 2025, arXiv:2505.09388. Llama with a norm over each head of queries and keys."""

from __future__ import annotations

from zoo.interop.base import (
    ARCHITECTURES,
    HARMLESS,
    REQUIRED,
    Architecture,
    Field,
    Mapped,
    Rule,
    Together,
    variant,
)
from zoo.interop.labels import TOKEN_DROPOUT
from zoo.interop.layer_types import FULL, SLIDING, WINDOW, read_windows, write_windows
from zoo.interop.llama import LAYER, LLAMA, QUERY_KEY_NORM, base_name, rules
from zoo.interop.rope import modernize, rope
from zoo.models import ModelConfig


def weights(config: ModelConfig) -> tuple[Rule, ...]:
    """Where each module of Qwen3 is with us."""
    return rules(config, LAYER | QUERY_KEY_NORM, base_name(config))


def read_sliding(theirs: Mapped) -> Mapped:
    """Sliding windows in the layers from `max_window_layers` on, or in those that are listed."""
    num_layers = theirs["num_hidden_layers"]
    places = theirs.get("sliding_window", 4096) if theirs.get("use_sliding_window") else None
    first = theirs.get("max_window_layers", 28) if places is not None else num_layers
    types = theirs.get("layer_types") or [FULL if layer < first else SLIDING for layer in range(num_layers)]
    return read_windows(types, places, num_layers)


def write_sliding(config: ModelConfig) -> Mapped:
    """The layers with a window, listed."""
    types, places = write_windows(config)
    return {"layer_types": types, "sliding_window": places, "use_sliding_window": places is not None}


SLIDING_LAYERS = Together(
    ("use_sliding_window", "sliding_window", "max_window_layers", "layer_types"),
    read_sliding,
    write_sliding,
    ours=WINDOW,
)
"""Which layers have a window, and how wide; the same in Qwen2."""


QWEN3 = Architecture(
    name="qwen3",
    opens="Qwen3 without experts",
    paper="arXiv:2505.09388",
    described="2025-05",
    classes={
        "Qwen3ForCausalLM": ("language_model",),
        "Qwen3ForSequenceClassification": ("sequence_classification",),
        "Qwen3ForTokenClassification": ("token_classification",),
        "Qwen3ForQuestionAnswering": ("span_extraction",),
        "Qwen3Model": (),
    },
    constant={
        **LLAMA.constant,
        "attention": {"query_key_norm": {"norm": {"kind": "rms_norm"}, "over": "head"}},
        "feed_forward": {"kind": "gated", "bias": False},
    },
    fields=variant(
        LLAMA.fields,
        {
            "vocab_size": 151936,
            "num_key_value_heads": 32,
            "head_dim": 128,
            "intermediate_size": 22016,
            "max_position_embeddings": 32768,
        },
        Field("rms_norm_eps", ("norm.eps", "attention.query_key_norm.norm.eps"), 1e-6),
        without=("mlp_bias",),
    ),
    required={
        **REQUIRED,
        "is_encoder_decoder": (False,),
        "rope_parameters.partial_rotary_factor": (1.0, 1, None),
    },
    harmless=HARMLESS,
    weights=weights,
    together=(rope(), SLIDING_LAYERS, TOKEN_DROPOUT),
    modernize=modernize,
    prefix="model",
)
ARCHITECTURES.add(QWEN3.name, QWEN3)
