"""What transformers' tokenizer classes do to a text around a vocabulary: normalizer, cuts, decoder.

Read from the classes' files in transformers 5.23; they build these parts by themselves, whatever a tokenizer.json says,
but for the table of characters of a SentencePiece model. What a setting of tokenizer_config.json changes stands here
beside the value that the class takes where it is not said. Which class has which of them is said in classes.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from tokenizers import Regex, decoders, normalizers, pre_tokenizers

from zoo.tokenizer.special_tokens import spelling

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
_FALLBACK: Mapping[str, Any] = {
    **_PAIRS,
    "continuing_subword_prefix": None,
    "end_of_word_suffix": None,
    "fuse_unk": True,
    "byte_fallback": True,
}


def word_pieces(settings: Settings, charsmap: bytes | None) -> Pipeline:
    """BERT's."""
    return Pipeline(
        "WordPiece",
        {
            "unk_token": spelling(settings.get("unk_token")) or "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
        },
        normalizers.BertNormalizer(
            lowercase=bool(settings.get("do_lower_case", True)),
            strip_accents=settings.get("strip_accents"),
            handle_chinese_chars=settings.get("tokenize_chinese_chars", True),
        ),
        pre_tokenizers.BertPreTokenizer(),
        decoders.WordPiece(prefix="##"),
    )


def byte_level(settings: Settings, charsmap: bytes | None) -> Pipeline:
    """GPT-2's and RoBERTa's: pairs of bytes."""
    cuts = pre_tokenizers.ByteLevel(add_prefix_space=_spaced(settings))
    return Pipeline("BPE", _PAIRS, None, cuts, decoders.ByteLevel())


def gpt_neox(settings: Settings, charsmap: bytes | None) -> Pipeline:
    """GPT-2's, of a normal form of the text."""
    return byte_level(settings, charsmap)._replace(normalizer=normalizers.NFC())


def qwen2(settings: Settings, charsmap: bytes | None) -> Pipeline:
    """GPT-NeoX's with cuts of its own."""
    cuts = [
        pre_tokenizers.Split(Regex(QWEN2_PIECES), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=_spaced(settings), use_regex=False),
    ]
    return Pipeline("BPE", _PAIRS, normalizers.NFC(), pre_tokenizers.Sequence(cuts), decoders.ByteLevel())


def llama(settings: Settings, charsmap: bytes | None) -> Pipeline:
    """Pairs of characters, and bytes.

    Not as SentencePiece: a text that begins with a space gets no further one, so its first space is not seen.
    """
    spaced = settings.get("add_prefix_space") in (None, True)
    scheme = "never" if not spaced else "always" if settings.get("legacy", False) else "first"
    cuts = pre_tokenizers.Metaspace(SPACE, prepend_scheme=scheme, split=False)
    steps = [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    steps += [decoders.Strip(" ", left=1, right=0)] if spaced else []
    return Pipeline("BPE", _FALLBACK, None, cuts, decoders.Sequence(steps))


def gemma(settings: Settings, charsmap: bytes | None) -> Pipeline:
    """Pairs of characters, and bytes, with no space before a text."""
    options = {**_FALLBACK, "unk_token": spelling(settings.get("unk_token")) or "<unk>"}
    cuts = pre_tokenizers.Split(" ", "merged_with_previous")
    steps = [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    return Pipeline("BPE", options, normalizers.Replace(" ", SPACE), cuts, decoders.Sequence(steps))


def _pieces(unknown: int, spaced: bool, normalizer: normalizers.Normalizer | None) -> Pipeline:
    """Words, each with a space before it, in the pieces of a SentencePiece unigram model."""
    scheme = "always" if spaced else "never"
    words = [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(SPACE, prepend_scheme=scheme)]
    return Pipeline(
        "Unigram",
        {"unk_id": unknown, "byte_fallback": False},
        normalizer,
        pre_tokenizers.Sequence(words),
        decoders.Metaspace(SPACE, prepend_scheme=scheme),
    )


def t5(settings: Settings, charsmap: bytes | None) -> Pipeline:
    """Unigrams of words; the third entry stands for the unknown."""
    return _pieces(2, True, normalizers.Precompiled(charsmap) if charsmap else None)


def xlm_roberta(settings: Settings, charsmap: bytes | None) -> Pipeline:
    """Unigrams of words; the fourth entry stands for the unknown."""
    spaced = bool(settings.get("add_prefix_space", True))
    return _pieces(3, spaced, normalizers.Precompiled(charsmap) if charsmap else None)


def albert(settings: Settings, charsmap: bytes | None) -> Pipeline:
    """Unigrams of words without capitals and accents; the second entry stands for the unknown."""
    steps: list[normalizers.Normalizer] = [normalizers.Replace("``", '"'), normalizers.Replace("''", '"')]
    if not settings.get("keep_accents", False):
        steps += [normalizers.NFKD(), normalizers.StripAccents()]
    if settings.get("do_lower_case", True):
        steps.append(normalizers.Lowercase())
    if charsmap:
        steps.append(normalizers.Precompiled(charsmap))
    return _pieces(1, bool(settings.get("add_prefix_space", True)), normalizers.Sequence(steps))


def _spaced(settings: Settings) -> bool:
    return bool(settings.get("add_prefix_space", False))
