"""The kinds of tokenizer, and how each is made from a corpus.

    byte_level_bpe   merges of frequent pairs of UTF-8 bytes: any text comes back exactly   Radford et al. 2019 (GPT-2)
    wordpiece        words into a stem and ##continuations, longest match first             Devlin et al. 2018 (BERT)
    unigram          the likeliest pieces under a unigram model                             Kudo 2018 (T5)
    characters       one id for each character of the corpus
    bytes            one id for each byte; nothing is learnt
    file             a tokenizer that exists already

The same texts and the same config give the same file, byte for byte, in any process.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import ClassVar, Literal

import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

from zoo.config import Config, setting
from zoo.errors import ConfigError, DataError
from zoo.registry import Choice
from zoo.tokenizer.counting import Progress, count_characters, count_words, frequent, repeated, training_text
from zoo.tokenizer.foreign import open_tokenizer
from zoo.tokenizer.library import guarded
from zoo.tokenizer.special_tokens import Boundaries, SpecialTokens, family_tokens
from zoo.tokenizer.tokenizer import Tokenizer
from zoo.tokenizer.unigram import UnigramDesign, train_unigram

Family = Literal["bert", "gpt", "t5"]
_FAMILY = "which special tokens: bert ([PAD] [UNK] [CLS] [SEP] [MASK]), gpt (<|endoftext|>), t5 (<pad> </s> <unk> …)"
_VOCAB_SIZE = "entries of the vocabulary, special tokens included; fewer where the corpus is too small for so many"
_SAMPLE = "how many characters, from the corpus's start, the vocabulary is learnt from"
_DIGITS = "cut numbers into single digits (Llama, arXiv:2302.13971, section 2.1)"
Normalization = Literal["none", "NFC", "NFD", "NFKC", "NFKD"]
_NORMALIZATION = "Unicode form that text is brought into, prompts too; decoding gives that form back"
_COVERAGE = "share of all characters of the corpus that get an entry; rarer ones become the unknown token"


@dataclasses.dataclass(frozen=True, kw_only=True)
class TokenizerConfig(Config, Choice, noun="tokenizer"):
    """Base of the kinds of tokenizer."""

    learns: ClassVar[bool] = True
    """False where `train` reads no text."""

    def train(self, texts: Iterable[str], progress: Progress | None = None) -> Tokenizer:
        """The tokenizer that this config and these texts amount to.

        Args:
            texts: the documents of a corpus; read once, from the start.
            progress: told how many more characters have been read.

        Raises:
            DataError: there is no text. ConfigError: the vocabulary is too small for what must be in it.
        """
        raise NotImplementedError


@dataclasses.dataclass(frozen=True, kw_only=True)
class ByteLevelBPEConfig(TokenizerConfig, kind="byte_level_bpe"):
    """Byte pair encoding over bytes; any text comes back exactly, in its normal form where one is asked for."""

    vocab_size: int = setting(8_192, _VOCAB_SIZE, minimum=257)
    special_tokens: Family = setting("gpt", _FAMILY)
    normalization: Normalization = setting("none", _NORMALIZATION)
    words: Literal["gpt2", "gpt4"] = setting(
        "gpt2", "the pattern that text is cut into words by, which no merge crosses; gpt4: numbers in threes"
    )
    single_digits: bool = setting(False, _DIGITS)
    min_frequency: int = setting(2, "how often a pair must occur to be merged", minimum=1)
    training_characters: int = setting(1_000_000_000, _SAMPLE, minimum=1)

    def validate(self) -> None:
        """The special tokens and the 256 bytes must fit into the vocabulary."""
        _check_size(self.vocab_size, family_tokens(self.special_tokens), 256, "bytes")

    def train(self, texts: Iterable[str], progress: Progress | None = None) -> Tokenizer:
        """See `TokenizerConfig.train`."""
        special = family_tokens(self.special_tokens)
        library = _byte_level(models.BPE(), self.words, self.single_digits)
        library.normalizer = _normalizer(self.normalization)
        trainer = trainers.BpeTrainer(
            vocab_size=self.vocab_size - len(special.sentinels),
            min_frequency=self.min_frequency,
            special_tokens=special.front,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        with guarded("train the tokenizer", DataError):
            library.train_from_iterator(training_text(texts, self.training_characters, progress), trainer)
        return _finished(library, special, "spaces")


@dataclasses.dataclass(frozen=True, kw_only=True)
class WordPieceConfig(TokenizerConfig, kind="wordpiece"):
    """BERT's tokenizer: words and single punctuation marks, each cut into the longest known pieces from the left.

    White space is not kept: decoding puts one space between words, between single digits too.
    """

    vocab_size: int = setting(8_192, _VOCAB_SIZE, minimum=1)
    special_tokens: Family = setting("bert", _FAMILY)
    normalization: Normalization = setting("none", _NORMALIZATION)
    lowercase: bool = setting(False, "lower-case the text and strip its accents (BERT's uncased models)")
    single_digits: bool = setting(False, _DIGITS)
    min_frequency: int = setting(2, "how often a pair must occur to be merged", minimum=1)
    character_coverage: float = setting(0.9995, _COVERAGE, above=0, maximum=1)
    training_characters: int = setting(1_000_000_000, _SAMPLE, minimum=1)

    def validate(self) -> None:
        """The special tokens must have one for the unknown; a form must change what lower-casing leaves."""
        _check_unknown(self.kind, self.special_tokens)
        if self.lowercase and self.normalization in ("NFC", "NFD"):
            raise ConfigError(
                f"{self.normalization} has no effect with lowercase=true, which takes letters and accents apart and "
                "strips the accents; use none, NFKC or NFKD",
                "normalization",
            )

    def train(self, texts: Iterable[str], progress: Progress | None = None) -> Tokenizer:
        """See `TokenizerConfig.train`."""
        special = family_tokens(self.special_tokens)
        form, normalizer = _normalizer(self.normalization), _bert_normalizer(self.normalization, self.lowercase)
        cut = _bert_words(self.single_digits)
        counted = count_words(_normalized(training_text(texts, self.training_characters, progress), form))
        spelt = count_characters(counted, lambda one: "".join(normalizer.normalize_str(one).split()))
        characters = frequent(spelt, self.character_coverage)
        continuations = [f"##{one}" for one in characters]
        _check_size(self.vocab_size, special, 2 * len(characters), "characters, alone and as ##continuation,")
        pairs = tokenizers.Tokenizer(models.BPE())
        pairs.normalizer = normalizer
        pairs.pre_tokenizer = cut
        trainer = trainers.BpeTrainer(
            vocab_size=self.vocab_size - len(special.sentinels),
            min_frequency=self.min_frequency,
            # Named up front, the ##continuations get their ids in our order, not in that of a hash table.
            special_tokens=[*special.front, *continuations],
            initial_alphabet=characters,
            limit_alphabet=len(characters),
            continuing_subword_prefix="##",
            show_progress=False,
        )
        with guarded("train the tokenizer", DataError):
            pairs.train_from_iterator(repeated(counted), trainer)
        model = models.WordPiece(pairs.get_vocab(), unk_token=special.roles["unknown"], max_input_chars_per_word=100)
        library = tokenizers.Tokenizer(model)
        library.normalizer = normalizer
        library.pre_tokenizer = cut
        library.decoder = decoders.WordPiece(prefix="##")
        return _finished(library, special, "spaces")


@dataclasses.dataclass(frozen=True, kw_only=True)
class UnigramConfig(TokenizerConfig, kind="unigram"):
    """The likeliest segmentation under a unigram model, as in T5; spaces are kept as ▁, line breaks as they are.

    Decoding gives the text back but for characters outside the vocabulary and one space at the very beginning.
    """

    vocab_size: int = setting(8_192, _VOCAB_SIZE, minimum=1)
    special_tokens: Family = setting("t5", _FAMILY)
    normalization: Normalization = setting("none", _NORMALIZATION)
    words: Literal["alphanumeric", "letters"] = setting(
        "alphanumeric", "what a piece may hold: letters and digits together; letters: letters or digits, never both"
    )
    single_digits: bool = setting(False, _DIGITS)
    byte_fallback: bool = setting(
        False, "spell characters outside the vocabulary in 256 entries for bytes, instead of the unknown token"
    )
    character_coverage: float = setting(0.9995, _COVERAGE, above=0, maximum=1)
    training_characters: int = setting(1_000_000_000, _SAMPLE, minimum=1)

    def validate(self) -> None:
        """The special tokens must have one for the unknown, and fit into the vocabulary."""
        _check_unknown(self.kind, self.special_tokens)
        others, what = (257, "bytes (byte_fallback) and characters") if self.byte_fallback else (1, "character")
        _check_size(self.vocab_size, family_tokens(self.special_tokens), others, what)
        if self.words == "letters" and self.single_digits:
            raise ConfigError(
                "letters has no effect with single_digits=true, which cuts digits from letters; leave one of them out",
                "words",
            )

    def train(self, texts: Iterable[str], progress: Progress | None = None) -> Tokenizer:
        """See `TokenizerConfig.train`."""
        special = family_tokens(self.special_tokens)
        normalizer = _normalizer(self.normalization)
        counted = count_words(_normalized(training_text(texts, self.training_characters, progress), normalizer))
        design = UnigramDesign(
            front=special.front,
            unknown=special.roles["unknown"],
            size=self.vocab_size,
            coverage=self.character_coverage,
            words=self.words,
            single_digits=self.single_digits,
            byte_fallback=self.byte_fallback,
            behind=len(special.sentinels),
        )
        with guarded("train the tokenizer", DataError):
            library = train_unigram(counted, design)
            library.normalizer = normalizer
        return _finished(library, special, "spaces")


@dataclasses.dataclass(frozen=True, kw_only=True)
class CharactersConfig(TokenizerConfig, kind="characters"):
    """One id for each character that occurs in the corpus, in the order of their code points.

    A character that did not occur becomes the unknown token; the gpt special tokens have none, so there it is a
    DataError that names it.
    """

    special_tokens: Family = setting("gpt", _FAMILY)
    normalization: Normalization = setting("none", _NORMALIZATION)

    def train(self, texts: Iterable[str], progress: Progress | None = None) -> Tokenizer:
        """See `TokenizerConfig.train`."""
        special, normalizer = family_tokens(self.special_tokens), _normalizer(self.normalization)
        characters: set[str] = set()
        for text in _normalized(training_text(texts, None, progress), normalizer):
            characters.update(text)
        vocabulary = {token: id for id, token in enumerate([*special.front, *sorted(characters)])}
        unknown = special.roles.get("unknown")
        library = tokenizers.Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token=unknown))
        library.normalizer = normalizer
        library.decoder = decoders.Fuse()
        # A form joins a letter and the accent behind it, which must not be cut apart.
        return _finished(library, special, "anywhere" if normalizer is None else "spaces", closed=unknown is None)


@dataclasses.dataclass(frozen=True, kw_only=True)
class BytesConfig(TokenizerConfig, kind="bytes"):
    """One id for each byte of the text's UTF-8 form, in the order of the bytes; any text comes back exactly."""

    special_tokens: Family = setting("gpt", _FAMILY)

    learns: ClassVar[bool] = False

    def train(self, texts: Iterable[str] = (), progress: Progress | None = None) -> Tokenizer:
        """The tokenizer; the texts are not read."""
        special = family_tokens(self.special_tokens)
        vocabulary = {token: id for id, token in enumerate([*special.front, *_byte_characters()])}
        library = _byte_level(models.BPE(vocab=vocabulary, merges=[]), None, single_digits=False)
        return _finished(library, special, "anywhere")


@dataclasses.dataclass(frozen=True, kw_only=True)
class FileConfig(TokenizerConfig, kind="file"):
    """A tokenizer that exists already, in any format that `zoo.tokenizer.foreign` knows."""

    path: str = setting(
        doc="its folder or file: tokenizer.json (and, of ours, special_tokens.json), vocab.json with merges.txt, "
        "vocab.txt, or a SentencePiece .model"
    )
    add_tokens: tuple[str, ...] = setting((), "new tokens behind its own, found wherever they are spelt in a text")

    learns: ClassVar[bool] = False

    def train(self, texts: Iterable[str] = (), progress: Progress | None = None) -> Tokenizer:
        """The tokenizer, opened; the texts are not read.

        Raises:
            DataError: it is missing or damaged. ConfigError: a new token is none, or is in it already.
        """
        opened = open_tokenizer(self.path)
        return opened.with_tokens(self.add_tokens) if self.add_tokens else opened


GPT4_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
    r"\s+(?!\S)|\s+"
)
"""Words, numbers of up to three digits, signs, line breaks, other white space: the pattern of OpenAI's cl100k_base."""


def _byte_level(
    model: models.Model, words: Literal["gpt2", "gpt4"] | None, single_digits: bool
) -> tokenizers.Tokenizer:
    """A tokenizer over bytes; `words` None: nothing is cut."""
    library = tokenizers.Tokenizer(model)
    steps: list[pre_tokenizers.PreTokenizer] = []
    if single_digits:
        steps.append(pre_tokenizers.Digits(individual_digits=True))
    if words == "gpt4":
        steps.append(pre_tokenizers.Split(tokenizers.Regex(GPT4_WORDS), "isolated"))
    steps.append(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=words == "gpt2"))
    library.pre_tokenizer = pre_tokenizers.Sequence(steps) if len(steps) > 1 else steps[0]
    library.decoder = decoders.ByteLevel()
    return library


def _normalizer(form: Normalization) -> normalizers.Normalizer | None:
    return None if form == "none" else getattr(normalizers, form)()


def _normalized(texts: Iterable[str], normalizer: normalizers.Normalizer | None) -> Iterable[str]:
    return texts if normalizer is None else map(normalizer.normalize_str, texts)


def _bert_normalizer(form: Normalization, lowercase: bool) -> normalizers.Normalizer:
    """BERT's own, behind the Unicode form where one is asked for."""
    own = normalizers.BertNormalizer(lowercase=lowercase)
    first = _normalizer(form)
    return own if first is None else normalizers.Sequence([first, own])


def _bert_words(single_digits: bool) -> pre_tokenizers.PreTokenizer:
    """BERT's words; with `single_digits` each digit is a word too."""
    own = pre_tokenizers.BertPreTokenizer()
    return pre_tokenizers.Sequence([own, pre_tokenizers.Digits(individual_digits=True)]) if single_digits else own


def _byte_characters() -> list[str]:
    """The printable character that stands for each byte 0 … 255 in a byte-level vocabulary (GPT-2's table)."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in set(printable)]
    stands_for = {byte: byte for byte in printable} | {byte: 256 + n for n, byte in enumerate(others)}
    return [chr(stands_for[byte]) for byte in range(256)]


def _finished(
    library: tokenizers.Tokenizer, special: SpecialTokens, boundaries: Boundaries, closed: bool = False
) -> Tokenizer:
    # Where words carry the space before them, a blank written out in a prompt takes that space with it, as in training.
    has_words = boundaries == "spaces" and library.pre_tokenizer is not None
    blanks = {special.roles.get("mask"), *special.sentinels} if has_words else set()

    def added(tokens: Iterable[str]) -> list[tokenizers.AddedToken]:
        return [tokenizers.AddedToken(token, special=True, lstrip=token in blanks) for token in tokens]

    library.add_special_tokens(added(special.front))  # they are in the vocabulary already and keep their ids
    library.add_special_tokens(added(reversed(special.sentinels)))  # the last ids, <extra_id_0> the very last
    return Tokenizer(library.to_str(pretty=True), special._replace(boundaries=boundaries, closed=closed))


def _check_size(size: int, special: SpecialTokens, others: int, what: str) -> None:
    specials = len(special.front) + len(special.sentinels)
    if size < specials + others:
        raise ConfigError(
            f"{size} is too small: {specials} special tokens and {others} {what} need at least {specials + others}",
            "vocab_size",
        )


def _check_unknown(kind: str, family: str) -> None:
    if "unknown" not in family_tokens(family).roles:
        raise ConfigError(
            f"{family} has no token for the unknown, which kind {kind!r} needs; take bert or t5, "
            "or kind byte_level_bpe, characters or bytes",
            "special_tokens",
        )
