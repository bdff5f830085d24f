"""Named encoder-decoders: T5, BART, Marian, the original Transformer."""

from __future__ import annotations

from zoo.config import merged
from zoo.models.presets.base import NO_DROPOUT, Mapped, add, attention_bias, dropout, size

T5: Mapped = {
    "kind": "encoder_decoder",
    "placement": "pre",
    "norm": {"kind": "rms_norm", "eps": 1e-6},
    "positions": {"kind": "relative"},
    "attention": {**attention_bias(False), "scale": {"kind": "constant", "value": 1.0}},
    "feed_forward": {"kind": "plain", "activation": "relu", "bias": False},
    "dropout": dropout(0.1, "embedding", "attention", "residual", "feed_forward", "final"),
    "heads": {"language_model": {"kind": "language_model", "tied": True, "scale": "inverse_sqrt_dim"}},
    "initialization": {"kind": "t5"},
}
"""Raffel et al. 2020, arXiv:1910.10683."""

T5_V1_1: Mapped = merged(
    T5,
    {
        "feed_forward": {"kind": "gated", "activation": "gelu_tanh", "bias": False},
        "dropout": dropout(0.0),
        "heads": {"language_model": {"tied": False, "scale": "none"}},
    },
)
"""T5 v1.1 (released with Raffel et al. 2020): GEGLU, free output layer, no dropout in pretraining."""

T5_PAPER, T5_RELEASE = "arXiv:1910.10683, section 3.7", "google-research/text-to-text-transfer-transformer, t5.1.1"


def _t5(dim: int, num_layers: int, num_heads: int, feed_forward_dim: int) -> Mapped:
    return size(dim, num_layers, num_heads, 512, 32128, head_dim=64, feed_forward_dim=feed_forward_dim)


add("t5-nano", T5, size(128, 4, 4, 128, 4096, head_dim=32, feed_forward_dim=512, **NO_DROPOUT), 2_362_368)
add("t5-small", T5, _t5(512, 6, 8, 2048), 60_506_624, 60_000_000, T5_PAPER)
add("t5-base", T5, _t5(768, 12, 12, 3072), 222_903_552, 220_000_000, T5_PAPER)
add("t5-large", T5, _t5(1024, 24, 16, 4096), 737_668_096, 770_000_000, T5_PAPER)
add("t5-v1.1-small", T5_V1_1, _t5(512, 8, 6, 1024), 76_961_152, 77_000_000, T5_RELEASE)
add("t5-v1.1-base", T5_V1_1, _t5(768, 12, 12, 2048), 247_577_856, 250_000_000, T5_RELEASE)
add("t5-v1.1-large", T5_V1_1, _t5(1024, 24, 16, 2816), 783_150_080, 800_000_000, T5_RELEASE)

TRANSFORMER: Mapped = {
    "kind": "encoder_decoder",
    "placement": "post",
    "norm": {"kind": "layer_norm", "eps": 1e-6},
    "positions": {"kind": "sinusoidal"},
    "attention": attention_bias(False),
    "feed_forward": {"kind": "plain", "activation": "relu"},
    "embedding": {"scale": "sqrt_dim"},
    "dropout": dropout(0.1, "embedding", "attention", "residual", "feed_forward"),
    "heads": {"language_model": {"kind": "language_model", "tied": True}},
    "initialization": {"kind": "xavier"},
}
"""Vaswani et al. 2017, arXiv:1706.03762, with the choices of its released code where the paper is silent."""

VASWANI = "arXiv:1706.03762, table 3"
BIG_DROPOUT: Mapped = {"dropout": {"embedding": 0.3, "residual": 0.3}}

add(
    "transformer-base",
    TRANSFORMER,
    size(512, 6, 8, 512, 37000, feed_forward_dim=2048),
    63_045_632,
    65_000_000,
    VASWANI,
)
add(
    "transformer-big",
    TRANSFORMER,
    size(1024, 6, 16, 512, 37000, feed_forward_dim=4096, **BIG_DROPOUT),
    214_171_648,
    213_000_000,
    VASWANI,
)

BART: Mapped = {
    "kind": "encoder_decoder",
    "placement": "post",
    "norm": {"kind": "layer_norm", "eps": 1e-5},
    "positions": {"kind": "learned", "offset": 2},
    "feed_forward": {"kind": "plain", "activation": "gelu"},
    "embedding": {"norm": True, "padding_token": 1},
    "dropout": dropout(0.1, "embedding", "residual"),
    "heads": {"language_model": {"kind": "language_model", "tied": True, "bias": True}},
    "initialization": {"kind": "bert"},
}
"""Lewis et al. 2019, arXiv:1910.13461. The bias of the logits is that of the released files, where it is zero."""

MARIAN: Mapped = merged(
    BART,
    {
        "positions": {"kind": "sinusoidal", "layout": "half"},
        "feed_forward": {"activation": "silu"},
        "embedding": {"norm": False, "padding_token": None, "scale": "sqrt_dim"},
        "initialization": {"kind": "xavier"},
    },
)
"""Junczys-Dowmunt et al. 2018, arXiv:1804.00344, in the shape of the OPUS-MT models."""

add("bart-base", BART, size(768, 6, 12, 1024, 50265), 139_470_681, 140_000_000, "fairseq, examples/bart")
add(
    "marian-base",
    MARIAN,
    size(512, 6, 8, 512, 58101, feed_forward_dim=2048),
    73_944_309,
    74_500_000,
    "transformers' page on MarianMT: 298 MB in float32",
)
