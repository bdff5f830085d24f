"""Counts of named decoders by hand, of the parts that a paper's table names."""

from zoo.models.create import model_config
from zoo.models.presets import PRESETS


def test_gpt2_by_hand() -> None:
    d, vocab = 768, 50257
    layer = 4 * (d * d + d) + 2 * 4 * d * d + 5 * d + 4 * d
    assert PRESETS["gpt2"].parameters == (vocab + 1024) * d + 12 * layer + 2 * d


def test_llama_by_hand() -> None:
    d, inner, vocab, keys = 2048, 8192, 128_256, 8 * 64
    layer = 2 * d * d + 2 * d * keys + 3 * d * inner + 2 * d
    assert PRESETS["llama-3.2-1b"].parameters == vocab * d + 16 * layer + d


def test_qwen3_by_hand() -> None:
    d, inner, head, heads, keys = 1024, 3072, 128, 16, 8
    attention = 2 * d * heads * head + 2 * d * keys * head + 2 * head
    assert PRESETS["qwen3-0.6b"].parameters == 151_936 * d + 28 * (attention + 3 * d * inner + 2 * d) + d


def test_gemma_by_hand() -> None:
    d, inner, head, heads, keys = 2304, 9216, 256, 8, 4
    layer = 2 * d * heads * head + 2 * d * keys * head + 3 * d * inner + 4 * d
    assert PRESETS["gemma-2-2b"].parameters == 256_000 * d + 26 * layer + d


def test_olmo_by_hand() -> None:
    d, inner = 2048, 8192
    layer = 4 * d * d + 2 * d + 3 * d * inner + 2 * d
    assert PRESETS["olmo-2-1b"].parameters == 2 * 100_352 * d + 16 * layer + d


def test_deepseek_by_hand() -> None:
    d, heads, head, shared, value, query_rank, key_rank = 256, 4, 96, 32, 64, 96, 64
    queries = d * query_rank + query_rank + query_rank * heads * head
    keys = d * (key_rank + shared) + key_rank + key_rank * heads * (head - shared + value)
    attention = queries + keys + heads * value * d
    experts, expert = 16 + 1, 3 * d * 128
    sparse, dense = experts * expert + 16 * d, 3 * d * 768
    layers = 6 * (attention + 2 * d) + dense + 5 * sparse
    assert PRESETS["deepseek-nano"].parameters == 2 * 32_000 * d + layers + d


def test_gemma_sees_everything_in_every_other_layer() -> None:
    windows = [layer.attention.window for layer in model_config("gemma-2-2b").layer_configs()]
    assert windows == [4095, None] * 13
