"""Mistral: Jiang et al. 2023, arXiv:2310.06825. Llama with a sliding window in every layer, or in none."""

from __future__ import annotations

from zoo.interop.base import (
    ACTIVATION_NAMES,
    ARCHITECTURES,
    HARMLESS,
    REQUIRED,
    Architecture,
    Field,
    Mapped,
    Together,
)
from zoo.interop.llama import LLAMA, weights
from zoo.interop.rope import modernize, rope
from zoo.models import ModelConfig


def read_window(theirs: Mapped) -> Mapped:
    """The window of all layers; theirs counts the place itself."""
    places = theirs.get("sliding_window", 4096)
    return {} if places is None else {"attention.window": places - 1}


def write_window(config: ModelConfig) -> Mapped:
    """The window; one that only some layers have is found when what was written is read back."""
    window = config.attention.window
    return {"sliding_window": None if window is None else window + 1}


MISTRAL = Architecture(
    name="mistral",
    opens="Mistral 7B, Zephyr",
    paper="arXiv:2310.06825",
    classes={
        "MistralForCausalLM": ("language_model",),
        "MistralForSequenceClassification": ("sequence_classification",),
        "MistralModel": (),
    },
    constant={
        **LLAMA.constant,
        "attention": {"query_bias": False, "key_bias": False, "value_bias": False, "output_bias": False},
        "feed_forward": {"kind": "gated", "bias": False},
    },
    fields=(
        Field("vocab_size", ("vocab_size",), 32000),
        Field("hidden_size", ("dim",), 4096),
        Field("num_hidden_layers", ("num_layers",), 32),
        Field("num_attention_heads", ("num_heads",), 32),
        Field("num_key_value_heads", ("num_kv_heads",), 8),
        Field("head_dim", ("head_dim",)),
        Field("intermediate_size", ("feed_forward_dim",), 14336),
        Field("max_position_embeddings", ("max_length",), 131072),
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
    },
    harmless=HARMLESS,
    weights=weights,
    together=(rope(), Together(("sliding_window",), read_window, write_window)),
    modernize=modernize,
    prefix="model",
)
ARCHITECTURES.add(MISTRAL.name, MISTRAL)
