"""One small tokenizer of each kind, trained once."""

import functools

from zoo.config import build
from zoo.tokenizer.tokenizer import Tokenizer
from zoo.tokenizer.train import TokenizerConfig

TEXTS = [
    "The cute dog walks in the green park, and the cat sees it. It's naïve, isn't it? 😀 日本語 für Öl.\n" * 30,
    "A cat sleeps on the mat. The dog sees the cat, and the cat sees the dog in the park.\n" * 30,
]
SETTINGS = {
    "bert": {"kind": "wordpiece", "vocab_size": 160, "special_tokens": "bert"},
    "gpt": {"kind": "byte_level_bpe", "vocab_size": 290, "special_tokens": "gpt"},
    "t5": {"kind": "unigram", "vocab_size": 220, "special_tokens": "t5"},
    "bytes": {"kind": "bytes", "special_tokens": "gpt"},
    "characters": {"kind": "characters", "special_tokens": "gpt"},
}


@functools.cache
def tokenizer_of(name: str) -> Tokenizer:
    """The tokenizer of that name in SETTINGS."""
    config: TokenizerConfig = build(TokenizerConfig, SETTINGS[name])
    return config.train(TEXTS)
