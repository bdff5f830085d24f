"""What each of transformers' tokenizer classes does to a text around its vocabulary: normalizer, cuts, decoder.

Read from the classes' files in transformers 5.23; they build these parts by themselves, whatever a tokenizer.json says.
What a setting of tokenizer_config.json changes stands here beside the value that the class takes where it is not said.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from tokenizers import Regex, decoders, normalizers, pre_tokenizers

Settings = Mapping[str, Any]


class Pipeline(NamedTuple):
    """The parts around a model.

    Attributes:
        model: the kind of model that the class has, as tokenizer.json names it.
        options: fields of that model beside its vocabulary and merges.
        normalizer, pre_tokenizer, decoder: the library's.
    """

    model: str
    options: Mapping[str, Any]
    normalizer: normalizers.Normalizer | None
    pre_tokenizer: pre_tokenizers.PreTokenizer
    decoder: decoders.Decoder


SPACE = "▁"
QWEN2_PIECES = "|".join(
    (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)",
        r"[^\r\n\p{L}\p{N}]?\p{L}+",
        r"\p{N}",
        r" ?[^\s\p{L}\p{N}]+[\r\n]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    )
)
"""What Qwen2 cuts texts into: as Llama 3 does, but each digit by itself."""
_PAIRS: Mapping[str, Any] = {
    "dropout": None,
    "unk_token": None,
    "continuing_subword_prefix": "",
    "end_of_word_suffix": "",
    "fuse_unk": False,
    "byte_fallback": False,
    "ignore_merges": False,
}


def _bert(settings: Settings) -> Pipeline:
    lowercase = settings.get("do_lower_case", True)
    return Pipeline(
        "WordPiece",
        {
            "unk_token": _spelt(settings.get("unk_token")) or "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
        },
        normalizers.BertNormalizer(
            lowercase=bool(lowercase),
            strip_accents=settings.get("strip_accents"),
            handle_chinese_chars=settings.get("tokenize_chinese_chars", True),
        ),
        pre_tokenizers.BertPreTokenizer(),
        decoders.WordPiece(prefix="##"),
    )


def _bytes(settings: Settings, normalizer: normalizers.Normalizer | None = None) -> Pipeline:
    """GPT-2's and RoBERTa's."""
    spaced = bool(settings.get("add_prefix_space", False))
    cuts = pre_tokenizers.ByteLevel(add_prefix_space=spaced)
    return Pipeline("BPE", _PAIRS, normalizer, cuts, decoders.ByteLevel())


def _gpt_neox(settings: Settings) -> Pipeline:
    return _bytes(settings, normalizers.NFC())


def _qwen2(settings: Settings) -> Pipeline:
    spaced = bool(settings.get("add_prefix_space", False))
    cuts = [
        pre_tokenizers.Split(Regex(QWEN2_PIECES), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=spaced, use_regex=False),
    ]
    return Pipeline("BPE", _PAIRS, normalizers.NFC(), pre_tokenizers.Sequence(cuts), decoders.ByteLevel())


PIPELINES: Mapping[str, Callable[[Settings], Pipeline]] = {
    "bert": _bert,
    "gpt2": _bytes,
    "roberta": _bytes,
    "gptneox": _gpt_neox,
    "qwen2": _qwen2,
}
"""Class (classes.py) → its parts, by the settings of tokenizer_config.json."""


def _spelt(token: Any) -> str | None:
    spelt = token.get("content") if isinstance(token, Mapping) else token
    return spelt if isinstance(spelt, str) else None
