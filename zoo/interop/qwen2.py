"""Qwen2 and Qwen2.5: Qwen Team 2024, arXiv:2407.10671 and arXiv:2412.15115.

Llama with biases on queries, keys and values, and a sliding window in the layers from `max_window_layers` on.
"""

from __future__ import annotations

from zoo.interop.base import ARCHITECTURES, HARMLESS, Architecture, variant
from zoo.interop.labels import TOKEN_DROPOUT
from zoo.interop.llama import LLAMA, weights
from zoo.interop.qwen3 import SLIDING_LAYERS
from zoo.interop.rope import modernize, rope

QWEN2 = Architecture(
    name="qwen2",
    opens="Qwen2, Qwen2.5",
    paper="arXiv:2407.10671",
    described="2024-07",
    classes={
        "Qwen2ForCausalLM": ("language_model",),
        "Qwen2ForSequenceClassification": ("sequence_classification",),
        "Qwen2ForTokenClassification": ("token_classification",),
        "Qwen2ForQuestionAnswering": ("span_extraction",),
        "Qwen2Model": (),
    },
    constant={
        **LLAMA.constant,
        "attention": {"query_bias": True, "key_bias": True, "value_bias": True, "output_bias": False},
        "feed_forward": {"kind": "gated", "bias": False},
    },
    fields=variant(
        LLAMA.fields,
        {
            "vocab_size": 151936,
            "num_key_value_heads": 32,
            "intermediate_size": 22016,
            "max_position_embeddings": 32768,
        },
        without=("attention_bias", "mlp_bias"),
    ),
    required={**LLAMA.required, "use_mrope": (False,)},
    harmless=HARMLESS,
    weights=weights,
    together=(rope(), SLIDING_LAYERS, TOKEN_DROPOUT),
    modernize=modernize,
    prefix="model",
)
ARCHITECTURES.add(QWEN2.name, QWEN2)
