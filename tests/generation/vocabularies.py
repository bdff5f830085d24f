"""One small tokenizer of each kind, trained once."""

import functools
import json

import tokenizers
from tokenizers import decoders, models, normalizers, trainers

from zoo.config import build
from zoo.tokenizer.special_tokens import SpecialTokens
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
    "t5 with bytes": {
        "kind": "unigram",
        "vocab_size": 460,
        "special_tokens": "t5",
        "byte_fallback": True,
        "character_coverage": 0.98,
    },
}
LLAMA = "llama"
"""Not one of ours: byte-pair encoding in the manner of Llama 2 and Mistral, which spells rare characters in bytes."""
VOCABULARIES = (*SETTINGS, LLAMA)


@functools.cache
def tokenizer_of(name: str) -> Tokenizer:
    """The tokenizer of that name in VOCABULARIES."""
    if name == LLAMA:
        return _llama()
    config: TokenizerConfig = build(TokenizerConfig, SETTINGS[name])
    return config.train(TEXTS)


def _llama() -> Tokenizer:
    special = ["<unk>", "<s>", "</s>"]
    spaces = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    library = tokenizers.Tokenizer(models.BPE())
    library.normalizer = spaces
    words = [word for text in TEXTS for word in text[:500].encode("ascii", "ignore").decode().split()]
    library.train_from_iterator(words, trainers.BpeTrainer(vocab_size=100, special_tokens=special, show_progress=False))
    pairs = [tuple(pair) for pair in json.loads(library.to_str())["model"]["merges"]]
    pieces = sorted(library.get_vocab(), key=library.get_vocab().__getitem__)[len(special) :]
    in_bytes = [f"<0x{byte:02X}>" for byte in range(256)]
    vocabulary = {token: id for id, token in enumerate([*special, *in_bytes, *pieces])}
    library = tokenizers.Tokenizer(models.BPE(vocabulary, pairs, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    library.normalizer = spaces
    library.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    library.add_special_tokens(special)
    roles = {"unknown": "<unk>", "begin": "<s>", "end": "</s>"}
    return Tokenizer(library.to_str(), SpecialTokens(roles))
