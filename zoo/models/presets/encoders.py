"""Named encoders: BERT and its relatives."""

from __future__ import annotations

from zoo.config import merged
from zoo.models.presets.base import NO_DROPOUT, Mapped, add, attention_bias, dropout, size

BERT: Mapped = {
    "kind": "encoder",
    "placement": "post",
    "norm": {"kind": "layer_norm", "eps": 1e-12},
    "positions": {"kind": "learned"},
    "feed_forward": {"kind": "plain", "activation": "gelu"},
    "embedding": {"norm": True, "num_segments": 2},
    "dropout": dropout(0.1, "embedding", "attention", "residual"),
    "heads": {
        "language_model": {"kind": "language_model", "tied": True, "bias": True, "transform": "gelu"},
        "next_sentence": {"kind": "next_sentence"},
    },
    "initialization": {"kind": "bert"},
}
"""Devlin et al. 2018, arXiv:1810.04805."""

WELL_READ = "arXiv:1908.08962, table 1"

add("bert-nano", BERT, size(128, 4, 4, 128, 4096, **NO_DROPOUT), 1_371_906)
add("bert-tiny", BERT, size(128, 2, 2, 512, 30522), 4_433_468, 4_400_000, WELL_READ)
add("bert-mini", BERT, size(256, 4, 4, 512, 30522), 11_267_900, 11_300_000, WELL_READ)
add("bert-small", BERT, size(512, 4, 8, 512, 30522), 29_058_876, 29_100_000, WELL_READ)
add("bert-medium", BERT, size(512, 8, 8, 512, 30522), 41_668_412, 41_700_000, WELL_READ)
add("bert-base", BERT, size(768, 12, 12, 512, 30522), 110_106_428, 110_000_000, "arXiv:1810.04805, section 3")
add("bert-large", BERT, size(1024, 24, 16, 512, 30522), 336_226_108, 340_000_000, "arXiv:1810.04805, section 3")

ROBERTA: Mapped = merged(
    BERT,
    {
        "norm": {"eps": 1e-5},
        "positions": {"offset": 2},
        "embedding": {"num_segments": 1, "padding_token": 1},
        "heads": {"next_sentence": None},
    },
)
"""Liu et al. 2019, arXiv:1907.11692: no next-sentence head; its tables keep BERT's shape (one segment, rows 0 and 1 of
the positions never read)."""

add("roberta-base", ROBERTA, size(768, 12, 12, 512, 50265), 124_697_433, 125_000_000, "fairseq, examples/roberta")
add("roberta-large", ROBERTA, size(1024, 24, 16, 512, 50265), 355_412_057, 355_000_000, "fairseq, examples/roberta")

ALBERT: Mapped = merged(
    BERT,
    {
        "feed_forward": {"activation": "gelu_tanh"},
        "embedding": {"factorization": {"dim": 128, "order": "sum", "bias": True}, "padding_token": 0},
        "sharing": {"kind": "all"},
        "dropout": dropout(0.0),
        "heads": {"language_model": {"transform": "gelu_tanh"}},
    },
)
"""Lan et al. 2019, arXiv:1909.11942, version 2 (without dropout). Its second head tells the order of two sentences; the
next-sentence head here has the same weights."""

add("albert-base", ALBERT, size(768, 12, 12, 512, 30000), 11_813_810, 12_000_000, "arXiv:1909.11942, table 1")

ELECTRA: Mapped = merged(
    BERT,
    {
        "embedding": {"factorization": {"dim": 128, "order": "sum", "bias": True}, "padding_token": 0},
        "heads": {"next_sentence": None},
    },
)
"""Clark et al. 2020, arXiv:2003.10555: the discriminator's backbone, with a masked-LM head where its own is a
classifier of tokens."""

add("electra-small", ELECTRA, size(256, 12, 4, 512, 30522), 13_546_682, 14_000_000, "arXiv:2003.10555, table 1")

MODERNBERT: Mapped = {
    "kind": "encoder",
    "placement": "pre",
    "norm": {"kind": "layer_norm", "eps": 1e-5, "bias": False},
    "positions": {"kind": "rotary", "theta": 10_000.0},
    "attention": {**attention_bias(False), "window": 64},
    "feed_forward": {"kind": "gated", "activation": "gelu", "bias": False},
    "embedding": {"norm": True},
    "layers": {
        "0": {"attention_placement": "none"},
        "::3": {"attention": {"window": None}, "positions": {"theta": 160_000.0}},
    },
    "heads": {
        "language_model": {
            "kind": "language_model",
            "tied": True,
            "bias": True,
            "transform": "gelu",
            "transform_bias": False,
        }
    },
    "initialization": {"kind": "megatron", "std": 0.02},
}
"""Warner et al. 2024, arXiv:2412.13663: every third layer sees everything, the others 64 places to each side."""

add(
    "modernbert-base",
    MODERNBERT,
    size(768, 22, 12, 8192, 50368, feed_forward_dim=1152),
    149_655_232,
    149_000_000,
    "arXiv:2412.13663, table 4",
)
