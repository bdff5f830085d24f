"""Qwen2 and Qwen2.5: Qwen Team 2024, arXiv:2407.10671 and arXiv:2412.15115.

Llama with biases on queries, keys and values, and a sliding window in the layers from `max_window_layers` on.
"""

from __future__ import annotations

from zoo.interop.base import (
    ACTIVATION_NAMES,
    ARCHITECTURES,
    HARMLESS,
    REQUIRED,
    Architecture,
    Field,
)
from zoo.interop.llama import LLAMA, weights
from zoo.interop.qwen3 import SLIDING_LAYERS
from zoo.interop.rope import modernize, rope

QWEN2 = Architecture(
    name="qwen2",
    opens="Qwen2, Qwen2.5",
    paper="arXiv:2407.10671",
    classes={
        "Qwen2ForCausalLM": ("language_model",),
        "Qwen2ForSequenceClassification": ("sequence_classification",),
        "Qwen2Model": (),
    },
    constant={
        **LLAMA.constant,
        "attention": {"query_bias": True, "key_bias": True, "value_bias": True, "output_bias": False},
        "feed_forward": {"kind": "gated", "bias": False},
    },
    fields=(
        Field("vocab_size", ("vocab_size",), 151936),
        Field("hidden_size", ("dim",), 4096),
        Field("num_hidden_layers", ("num_layers",), 32),
        Field("num_attention_heads", ("num_heads",), 32),
        Field("num_key_value_heads", ("num_kv_heads",), 32),
        Field("head_dim", ("head_dim",)),
        Field("intermediate_size", ("feed_forward_dim",), 22016),
        Field("max_position_embeddings", ("max_length",), 32768),
        Field("hidden_act", ("feed_forward.activation",), "silu", ACTIVATION_NAMES),
        Field("rms_norm_eps", ("norm.eps",), 1e-6),
        Field("tie_word_embeddings", ("heads.language_model.tied",), False),
        Field("pad_token_id", ("embedding.padding_token",)),
        Field("attention_dropout", ("dropout.attention",), 0.0),
        Field("initializer_range", ("initialization.std", "initialization.position_std"), 0.02),
    ),
    required={
        **REQUIRED,
        "is_encoder_decoder": (False,),
        "rope_parameters.partial_rotary_factor": (1.0, 1, None),
        "use_mrope": (False,),
    },
    harmless=HARMLESS,
    weights=weights,
    together=(rope(), SLIDING_LAYERS),
    modernize=modernize,
    prefix="model",
)
ARCHITECTURES.add(QWEN2.name, QWEN2)
