"""Named decoders: GPT-2, the Llama style, and what grew out of it."""

from __future__ import annotations

from zoo.config import merged
from zoo.models.presets.base import NO_DROPOUT, Mapped, add, attention_bias, dropout, size

GPT2: Mapped = {
    "kind": "decoder",
    "placement": "pre",
    "norm": {"kind": "layer_norm", "eps": 1e-5},
    "positions": {"kind": "learned"},
    "feed_forward": {"kind": "plain", "activation": "gelu_tanh"},
    "dropout": dropout(0.1, "embedding", "attention", "residual"),
    "heads": {"language_model": {"kind": "language_model", "tied": True}},
    "initialization": {"kind": "gpt2"},
}
"""Radford et al. 2019, Language Models are Unsupervised Multitask Learners."""

GPT2_CARD = "openai/gpt-2 model card"

add("gpt-nano", GPT2, size(128, 4, 4, 128, 4096, **NO_DROPOUT), 1_334_016)
add("gpt-small", GPT2, size(384, 6, 6, 256, 50257), 30_044_544)
add("gpt2", GPT2, size(768, 12, 12, 1024, 50257), 124_439_808, 124_000_000, GPT2_CARD)
add("gpt2-medium", GPT2, size(1024, 24, 16, 1024, 50257), 354_823_168, 355_000_000, GPT2_CARD)
add("gpt2-large", GPT2, size(1280, 36, 20, 1024, 50257), 774_030_080, 774_000_000, GPT2_CARD)
add("gpt2-xl", GPT2, size(1600, 48, 25, 1024, 50257), 1_557_611_200, 1_558_000_000, GPT2_CARD)

LLAMA: Mapped = {
    "kind": "decoder",
    "placement": "pre",
    "norm": {"kind": "rms_norm", "eps": 1e-5},
    "positions": {"kind": "rotary"},
    "attention": attention_bias(False),
    "feed_forward": {"kind": "gated", "activation": "silu", "bias": False},
    "heads": {"language_model": {"kind": "language_model", "tied": False}},
    "initialization": {"kind": "gpt2"},
}
"""Touvron et al. 2023, arXiv:2302.13971."""

STORIES: Mapped = merged(LLAMA, {"heads": {"language_model": {"tied": True}}})
"""The sizes of karpathy/llama2.c: Llama 2 with a tied output layer."""

LLAMA3: Mapped = merged(
    STORIES,
    {
        "positions": {
            "theta": 500_000.0,
            "scaling": {
                "kind": "llama3",
                "factor": 32.0,
                "low_frequency_factor": 1.0,
                "high_frequency_factor": 4.0,
                "original_length": 8192,
            },
        }
    },
)
"""Grattafiori et al. 2024, arXiv:2407.21783, with the scaled frequencies of Llama 3.2 and its tied output layer."""

LLAMA2C = "karpathy/llama2.c, README"

add("llama-nano", LLAMA, size(128, 4, 4, 128, 4096, num_kv_heads=2, feed_forward_dim=344), 1_774_720)
add("llama-15m", STORIES, size(288, 6, 6, 256, 32000, feed_forward_dim=768), 15_191_712, 15_000_000, LLAMA2C)
add("llama-42m", STORIES, size(512, 8, 8, 1024, 32000, feed_forward_dim=1376), 41_689_600, 42_000_000, LLAMA2C)
add("llama-110m", STORIES, size(768, 12, 12, 1024, 32000, feed_forward_dim=2048), 109_529_856, 110_000_000, LLAMA2C)
add(
    "llama-3.2-1b",
    LLAMA3,
    size(2048, 16, 32, 131_072, 128_256, num_kv_heads=8, feed_forward_dim=8192),
    1_235_814_400,
    1_230_000_000,
    "meta-llama/Llama-3.2-1B model card",
)

QWEN3: Mapped = merged(
    STORIES,
    {
        "norm": {"eps": 1e-6},
        "positions": {"theta": 1_000_000.0},
        "attention": {"query_key_norm": {"norm": {"kind": "rms_norm", "eps": 1e-6}, "over": "head"}},
    },
)
"""Yang et al. 2025, arXiv:2505.09388: Llama with a norm over each head of queries and keys."""

add(
    "qwen3-0.6b",
    QWEN3,
    size(1024, 28, 16, 40_960, 151_936, num_kv_heads=8, head_dim=128, feed_forward_dim=3072),
    596_049_920,
    600_000_000,
    "arXiv:2505.09388, table 1",
)

GEMMA2: Mapped = {
    "kind": "decoder",
    "placement": "sandwich",
    "norm": {"kind": "rms_norm", "eps": 1e-6, "offset": True},
    "positions": {"kind": "rotary"},
    "attention": {**attention_bias(False), "cap": 50.0, "window": 4095},
    "feed_forward": {"kind": "gated", "activation": "gelu_tanh", "bias": False},
    "embedding": {"scale": "sqrt_dim"},
    "layers": {"1::2": {"attention": {"window": None}}},
    "heads": {"language_model": {"kind": "language_model", "tied": True, "cap": 30.0}},
    "initialization": {"kind": "gpt2"},
}
"""Gemma team 2024, arXiv:2408.00118: every other layer sees 4,096 places; scores and logits are capped."""

add(
    "gemma-2-2b",
    GEMMA2,
    size(2304, 26, 8, 8192, 256_000, num_kv_heads=4, head_dim=256, feed_forward_dim=9216),
    2_614_341_888,
    2_614_636_800,
    "arXiv:2408.00118, table 2",
)

OLMO2: Mapped = merged(
    LLAMA,
    {
        "placement": "branch_output",
        "norm": {"eps": 1e-6},
        "positions": {"theta": 500_000.0},
        "attention": {"query_key_norm": {"norm": {"kind": "rms_norm", "eps": 1e-6}, "over": "width"}},
        "initialization": {"kind": "bert"},
    },
)
"""OLMo team 2024, arXiv:2501.00656: norms on what a branch puts out, and over the whole width of queries and keys."""

add(
    "olmo-2-1b",
    OLMO2,
    size(2048, 16, 16, 4096, 100_352, feed_forward_dim=8192),
    1_484_916_736,
    1_480_000_000,
    "allenai/OLMo-2-0425-1B model card",
)

DEEPSEEK: Mapped = {
    "kind": "decoder",
    "placement": "pre",
    "norm": {"kind": "rms_norm", "eps": 1e-6},
    "positions": {"kind": "rotary", "layout": "interleaved", "width": 32},
    "attention": {
        "kind": "latent",
        "query_rank": 96,
        "key_value_rank": 64,
        "shared_key_dim": 32,
        "value_dim": 64,
        "output_bias": False,
    },
    "feed_forward": {
        "kind": "mixture",
        "num_experts": 16,
        "top_k": 4,
        "num_shared_experts": 1,
        "expert": "gated",
        "activation": "silu",
        "bias": False,
        "router": {"scoring": "sigmoid", "normalize": True, "balancing": {"kind": "bias"}},
    },
    "layers": {
        "0": {"feed_forward": {"kind": "gated", "activation": "silu", "bias": False}, "feed_forward_dim": 768},
    },
    "heads": {"language_model": {"kind": "language_model", "tied": False}},
    "initialization": {"kind": "gpt2"},
}
"""DeepSeek-AI 2024, arXiv:2412.19437, in small: latent attention, and experts from the second layer on."""

add("deepseek-nano", DEEPSEEK, size(256, 6, 4, 1024, 32_000, head_dim=96, feed_forward_dim=128), 26_460_352)
