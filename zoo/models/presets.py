"""Named sizes: one row each, with its parameter count and where the size was published.

A row says what differs from its family's style; a style says what its paper chose. Counts are of the whole pretraining
model, heads included, with shared weights counted once; a test holds each row to its count and to the published one.
"""

from __future__ import annotations

import fnmatch
from typing import Any, NamedTuple

from zoo.models.base import ModelConfig
from zoo.registry import Registry

Mapped = dict[str, Any]


class Preset(NamedTuple):
    """A named size.

    Attributes:
        settings: of its ModelConfig, as plain data.
        parameters: trained numbers of the model as built here.
        published: the figure that its authors state, in parameters; 0 for sizes of our own.
        source: where that figure stands.
    """

    settings: Mapped
    parameters: int
    published: int
    source: str


def _attention_bias(bias: bool) -> Mapped:
    return {f"{projection}_bias": bias for projection in ("query", "key", "value", "output")}


def _dropout(rate: float, *places: str) -> Mapped:
    return dict.fromkeys(places, rate)


BERT: Mapped = {
    "kind": "encoder",
    "placement": "post",
    "norm": {"kind": "layer_norm", "eps": 1e-12},
    "positions": {"kind": "learned"},
    "feed_forward": {"kind": "plain", "activation": "gelu"},
    "embedding": {"norm": True, "num_segments": 2},
    "dropout": _dropout(0.1, "embedding", "attention", "residual"),
    "heads": {
        "language_model": {"kind": "language_model", "tied": True, "bias": True, "transform": "gelu"},
        "next_sentence": {"kind": "next_sentence"},
    },
    "initialization": {"kind": "bert"},
}
"""Devlin et al. 2018, arXiv:1810.04805."""

GPT2: Mapped = {
    "kind": "decoder",
    "placement": "pre",
    "norm": {"kind": "layer_norm", "eps": 1e-5},
    "positions": {"kind": "learned"},
    "feed_forward": {"kind": "plain", "activation": "gelu_tanh"},
    "dropout": _dropout(0.1, "embedding", "attention", "residual"),
    "heads": {"language_model": {"kind": "language_model", "tied": True}},
    "initialization": {"kind": "gpt2"},
}
"""Radford et al. 2019, Language Models are Unsupervised Multitask Learners."""

LLAMA: Mapped = {
    "kind": "decoder",
    "placement": "pre",
    "norm": {"kind": "rms_norm", "eps": 1e-5},
    "positions": {"kind": "rotary"},
    "attention": _attention_bias(False),
    "feed_forward": {"kind": "gated", "activation": "silu", "bias": False},
    "heads": {"language_model": {"kind": "language_model", "tied": False}},
    "initialization": {"kind": "gpt2"},
}
"""Touvron et al. 2023, arXiv:2302.13971."""

T5: Mapped = {
    "kind": "encoder_decoder",
    "placement": "pre",
    "norm": {"kind": "rms_norm", "eps": 1e-6},
    "positions": {"kind": "relative"},
    "attention": {**_attention_bias(False), "scale": {"kind": "constant", "value": 1.0}},
    "feed_forward": {"kind": "plain", "activation": "relu", "bias": False},
    "dropout": _dropout(0.1, "embedding", "attention", "residual", "feed_forward", "final"),
    "heads": {"language_model": {"kind": "language_model", "tied": True, "scale": "inverse_sqrt_dim"}},
    "initialization": {"kind": "t5"},
}
"""Raffel et al. 2020, arXiv:1910.10683."""

T5_V1_1: Mapped = {
    **T5,
    "feed_forward": {"kind": "gated", "activation": "gelu_tanh", "bias": False},
    "dropout": {},
    "heads": {"language_model": {"kind": "language_model", "tied": False}},
}
"""T5 v1.1 (released with Raffel et al. 2020): GEGLU, free output layer, no dropout in pretraining."""

TRANSFORMER: Mapped = {
    "kind": "encoder_decoder",
    "placement": "post",
    "norm": {"kind": "layer_norm", "eps": 1e-6},
    "positions": {"kind": "sinusoidal"},
    "attention": _attention_bias(False),
    "feed_forward": {"kind": "plain", "activation": "relu"},
    "embedding": {"scale": "sqrt_dim"},
    "dropout": _dropout(0.1, "embedding", "attention", "residual", "feed_forward"),
    "heads": {"language_model": {"kind": "language_model", "tied": True}},
    "initialization": {"kind": "xavier"},
}
"""Vaswani et al. 2017, arXiv:1706.03762, with the choices of its released code where the paper is silent."""


def _size(dim: int, num_layers: int, num_heads: int, max_length: int, vocab_size: int, **rest: Any) -> Mapped:
    return {
        "dim": dim,
        "num_layers": num_layers,
        "num_heads": num_heads,
        "max_length": max_length,
        "vocab_size": vocab_size,
        **rest,
    }


def _row(style: Mapped, size: Mapped, parameters: int, published: int = 0, source: str = "ours") -> Preset:
    return Preset({**style, **size}, parameters, published, source)


NO_DROPOUT: Mapped = {"dropout": {}}

PRESETS: Registry[Preset] = Registry(
    "preset",
    {
        "bert-nano": _row(BERT, _size(128, 4, 4, 128, 4096, **NO_DROPOUT), 1_371_906),
        "bert-small": _row(BERT, _size(512, 4, 8, 512, 30522), 29_058_876, 28_800_000, "arXiv:1908.08962, table 1"),
        "bert-base": _row(
            BERT, _size(768, 12, 12, 512, 30522), 110_106_428, 110_000_000, "arXiv:1810.04805, section 3"
        ),
        "gpt-nano": _row(GPT2, _size(128, 4, 4, 128, 4096, **NO_DROPOUT), 1_334_016),
        "gpt-small": _row(GPT2, _size(384, 6, 6, 256, 50257), 30_044_544),
        "gpt2": _row(GPT2, _size(768, 12, 12, 1024, 50257), 124_439_808, 124_000_000, "openai/gpt-2 model card"),
        "llama-nano": _row(LLAMA, _size(128, 4, 4, 128, 4096, num_kv_heads=2, feed_forward_dim=344), 1_774_720),
        "t5-nano": _row(T5, _size(128, 4, 4, 128, 4096, head_dim=32, feed_forward_dim=512, **NO_DROPOUT), 2_362_368),
        "t5-small": _row(
            T5,
            _size(512, 6, 8, 512, 32128, head_dim=64, feed_forward_dim=2048),
            60_506_624,
            60_000_000,
            "arXiv:1910.10683, 3.1",
        ),
        "t5-v1.1-small": _row(
            T5_V1_1,
            _size(512, 8, 6, 512, 32128, head_dim=64, feed_forward_dim=1024),
            76_961_152,
            77_000_000,
            "google/t5-v1_1-small",
        ),
        "transformer-base": _row(
            TRANSFORMER,
            _size(512, 6, 8, 512, 37000, feed_forward_dim=2048),
            63_045_632,
            65_000_000,
            "arXiv:1706.03762, table 3",
        ),
    },
)
"""Named sizes; a new one is a row here."""


def preset_settings(name: str) -> Mapped:
    """The settings of a named size as plain data; raises ConfigError with the nearest name."""
    return PRESETS[name].settings


ModelConfig.presets = staticmethod(preset_settings)


def list_models(pattern: str = "*") -> list[str]:
    """Names of the presets that match a shell-style pattern: `list_models("bert*")`."""
    return sorted(name for name in PRESETS if fnmatch.fnmatchcase(name, pattern))
