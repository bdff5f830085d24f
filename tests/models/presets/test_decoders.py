"""Counts of named decoders by hand, of the parts that a paper's table names."""

from zoo.models.presets import PRESETS


def test_gpt2_by_hand() -> None:
    d, vocab = 768, 50257
    layer = 4 * (d * d + d) + 2 * 4 * d * d + 5 * d + 4 * d
    assert PRESETS["gpt2"].parameters == (vocab + 1024) * d + 12 * layer + 2 * d


def test_llama_by_hand() -> None:
    d, inner, vocab, keys = 2048, 8192, 128_256, 8 * 64
    layer = 2 * d * d + 2 * d * keys + 3 * d * inner + 2 * d
    assert PRESETS["llama-3.2-1b"].parameters == vocab * d + 16 * layer + d
