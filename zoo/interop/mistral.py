"""Mistral: Jiang et al. 2023, arXiv:2310.06825. Llama with a sliding window in every layer, or in none."""

from __future__ import annotations

from zoo.interop.base import ARCHITECTURES, HARMLESS, Architecture, Mapped, Rule, Together, variant
from zoo.interop.labels import TOKEN_DROPOUT
from zoo.interop.layer_types import WINDOW
from zoo.interop.llama import LAYER, LLAMA, rules
from zoo.interop.rope import modernize, rope
from zoo.models import ModelConfig


def weights(config: ModelConfig) -> tuple[Rule, ...]:
    """Where each module of Mistral is with us; the base model has one name beside every head."""
    return rules(config, LAYER)


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
    described="2023-10",
    classes={
        "MistralForCausalLM": ("language_model",),
        "MistralForSequenceClassification": ("sequence_classification",),
        "MistralForTokenClassification": ("token_classification",),
        "MistralForQuestionAnswering": ("span_extraction",),
        "MistralModel": (),
    },
    constant={
        **LLAMA.constant,
        "attention": {"query_bias": False, "key_bias": False, "value_bias": False, "output_bias": False},
        "feed_forward": {"kind": "gated", "bias": False},
    },
    fields=variant(
        LLAMA.fields,
        {
            "num_key_value_heads": 8,
            "intermediate_size": 14336,
            "max_position_embeddings": 131072,
        },
        without=("attention_bias", "mlp_bias"),
    ),
    required=LLAMA.required,
    harmless=HARMLESS,
    weights=weights,
    together=(rope(), Together(("sliding_window",), read_window, write_window, ours=WINDOW), TOKEN_DROPOUT),
    modernize=modernize,
    prefix="model",
)
ARCHITECTURES.add(MISTRAL.name, MISTRAL)
