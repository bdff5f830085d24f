"""Counts of named encoder-decoders by hand, of the parts that a paper's table names."""

from zoo.models.presets import PRESETS


def test_t5_small_by_hand() -> None:
    d, inner, vocab = 512, 2048, 32128
    encoder, decoder = 4 * d * d + 2 * d * inner + 2 * d, 8 * d * d + 2 * d * inner + 3 * d
    assert PRESETS["t5-small"].parameters == vocab * d + 6 * (encoder + decoder) + 2 * d + 2 * 32 * 8


def test_transformer_base_by_hand() -> None:
    d, inner = 512, 2048
    encoder = 4 * d * d + 2 * d * inner + inner + d + 2 * 2 * d
    decoder = 8 * d * d + 2 * d * inner + inner + d + 3 * 2 * d
    assert PRESETS["transformer-base"].parameters == 37000 * d + 6 * (encoder + decoder)


def test_bart_by_hand() -> None:
    d, inner, vocab = 768, 3072, 50265
    encoder = 4 * (d * d + d) + 2 * d * inner + inner + d + 2 * 2 * d
    decoder = 8 * (d * d + d) + 2 * d * inner + inner + d + 3 * 2 * d
    tables = vocab * (d + 1) + 2 * (1024 + 2) * d + 2 * 2 * d
    assert PRESETS["bart-base"].parameters == tables + 6 * (encoder + decoder)
