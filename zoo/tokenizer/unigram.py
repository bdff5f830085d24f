"""Training of a Unigram tokenizer: Kudo 2018, "Subword Regularization", arXiv:1804.10959.

A vocabulary that starts too large is pruned, step by step, of the pieces that the corpus's likelihood needs least, and
the pieces' probabilities are estimated anew after each step. Two deviations from the paper's section 3.2, so that the
outcome depends on nothing but the text (the library's own trainer gives another vocabulary in every process):

- the first vocabulary comes from byte pair encoding with more merges than asked for (the paper names this alternative
  to the enumeration of all frequent substrings);
- probabilities are counted on the best segmentation of each word instead of expected over all segmentations. The counts
  are whole numbers, so no order of summation can change them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from zoo.errors import ConfigError
from zoo.tokenizer.counting import count_characters, frequent, repeated

LONGEST_PIECE = 16
"""Characters; sentencepiece's default."""
_SEED_FACTOR = 2
_SHRINK = 0.75
_UNSEEN = 0.5
"""The count of a piece that stays although no best segmentation uses it."""

# A piece is letters and digits, or neither, with the space mark before it: "▁word", "▁(", "),", "▁▁▁". So no piece of
# the vocabulary spells a special token, all of which mix the two.
_SIGNS = r"▁?[^▁\p{L}\p{M}\p{N}]+|▁+(?![\p{L}\p{M}\p{N}])|▁+?"
_CUTS = {
    "alphanumeric": Regex(rf"▁?[\p{{L}}\p{{M}}\p{{N}}]+|{_SIGNS}"),
    "letters": Regex(rf"▁?[\p{{L}}\p{{M}}]+|▁?\p{{N}}+|{_SIGNS}"),
}


NUM_BYTES = 256


class UnigramDesign(NamedTuple):
    """What is asked of a vocabulary.

    Attributes:
        front: special tokens that take the first ids. unknown: the one of them that stands for unknown characters.
        size: entries of the vocabulary, all special tokens included.
        coverage: share of all characters that get a piece of their own.
        single_digits: whether each digit is a word of its own.
        byte_fallback: whether characters without a piece are spelt in bytes: <0x00> … come behind `front`.
        words: what a piece that holds no signs is made of: "alphanumeric", letters and digits together; "letters",
            either of them (sentencepiece's split_by_number).
        behind: special tokens that will take the last ids; the vocabulary leaves room for them.
    """

    front: list[str]
    unknown: str
    size: int
    coverage: float
    single_digits: bool = False
    byte_fallback: bool = False
    behind: int = 0
    words: str = "alphanumeric"


def train_unigram(counted_words: Mapping[str, int], design: UnigramDesign) -> Tokenizer:
    """The library's tokenizer with a Unigram model learnt from the words (word → number of occurrences, sorted).

    Raises:
        ConfigError: the size has no room for the special tokens, the bytes and the characters.
    """
    characters = frequent(count_characters(counted_words, lambda one: "▁" if one == " " else one), design.coverage)
    special = len(design.front) + design.behind
    taken = special + (NUM_BYTES if design.byte_fallback else 0)
    wanted = design.size - taken
    if wanted < len(characters):
        bytes_too = f", {NUM_BYTES} bytes (byte_fallback)" if design.byte_fallback else ""
        raise ConfigError(
            f"{design.size} is too small: {special} special tokens{bytes_too} and {len(characters)} "
            f"characters need at least {taken + len(characters)}",
            "vocab_size",
        )
    words, counts = list(counted_words), np.array(list(counted_words.values()), dtype=np.int64)
    cut = _pre_tokenizer(design.words, design.single_digits)
    seed = _seed(counted_words, characters, _SEED_FACTOR * wanted, cut)
    logs = _estimate(seed, sorted(seed.get_vocab()), words, counts)
    while len(logs) > wanted:
        logs = _prune(logs, characters, max(wanted, int(_SHRINK * len(logs))))
        kept = list(logs) if len(logs) == wanted else characters
        logs = _estimate(_bare(logs, cut), kept, words, counts)
    best_first = sorted(logs, key=lambda piece: (-logs[piece], piece))
    return _finished({piece: logs[piece] for piece in best_first}, design, cut)


def _pre_tokenizer(words: str, single_digits: bool) -> pre_tokenizers.PreTokenizer:
    steps = [pre_tokenizers.Metaspace(split=False), pre_tokenizers.Split(_CUTS[words], "isolated")]
    if single_digits:
        steps.append(pre_tokenizers.Digits(individual_digits=True))
    return pre_tokenizers.Sequence(steps)


def _seed(
    counted_words: Mapping[str, int], characters: list[str], size: int, cut: pre_tokenizers.PreTokenizer
) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = cut
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=2,
        initial_alphabet=characters,
        limit_alphabet=len(characters),
        max_token_length=LONGEST_PIECE,
        show_progress=False,
    )
    tokenizer.train_from_iterator(repeated(counted_words), trainer)
    return tokenizer


def _bare(logs: Mapping[str, float], cut: pre_tokenizers.PreTokenizer) -> Tokenizer:
    """A tokenizer of these pieces and log probabilities; an empty piece stands for the unknown."""
    tokenizer = Tokenizer(models.Unigram([("", 0.0), *logs.items()], unk_id=0))
    tokenizer.pre_tokenizer = cut
    return tokenizer


def _finished(logs: Mapping[str, float], design: UnigramDesign, cut: pre_tokenizers.PreTokenizer) -> Tokenizer:
    """The tokenizer with its special tokens and, where asked for, its bytes, which no text spells: `cut` parts them."""
    front, fallback = design.front, design.byte_fallback
    spelt = [f"<0x{byte:02X}>" for byte in range(NUM_BYTES)] if fallback else []
    vocabulary = [*((token, 0.0) for token in [*front, *spelt]), *logs.items()]
    model = models.Unigram(vocabulary, unk_id=front.index(design.unknown), byte_fallback=fallback)
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = cut
    tokenizer.decoder = decoders.Metaspace()
    if fallback:
        tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace(), decoders.Fuse()])
    tokenizer.add_special_tokens(front)
    return tokenizer


def _estimate(tokenizer: Tokenizer, kept: list[str], words: list[str], counts: np.ndarray) -> dict[str, float]:
    """Log probability of each piece, from its uses in the best segmentations; unused pieces go, unless `kept`."""
    names = {id: piece for piece, id in tokenizer.get_vocab().items() if piece}
    uses = np.zeros(max(names) + 1)  # whole numbers below 2**53, which float64 adds exactly
    for start in range(0, len(words), 8_192):
        encodings = tokenizer.encode_batch_fast(words[start : start + 8_192])
        ids = np.fromiter((id for encoding in encodings for id in encoding.ids), dtype=np.int64)
        times = np.repeat(counts[start : start + 8_192], [len(encoding) for encoding in encodings])
        uses += np.bincount(ids, times, minlength=len(uses))
    total = int(uses.sum())
    logs = {names[id]: math.log(uses[id] / total) for id in sorted(names) if uses[id]}
    return logs | {one: math.log(_UNSEEN / total) for one in kept if one not in logs}


def _prune(logs: dict[str, float], characters: list[str], size: int) -> dict[str, float]:
    """The `size` pieces whose loss would cost the corpus most; characters always stay."""
    kept = set(characters)
    cost = {piece: math.exp(log) * (log - _without(piece, logs)) for piece, log in logs.items() if piece not in kept}
    kept.update(sorted(cost, key=lambda piece: (-cost[piece], piece))[: size - len(kept)])
    return {piece: log for piece, log in logs.items() if piece in kept}


def _without(piece: str, logs: Mapping[str, float]) -> float:
    """Log probability of the best segmentation of `piece` into shorter pieces (Viterbi)."""
    best = [0.0] + [-math.inf] * len(piece)
    for stop in range(1, len(piece) + 1):
        for start in range(stop):
            log = logs.get(piece[start:stop])
            if log is not None and stop - start < len(piece):
                best[stop] = max(best[stop], best[start] + log)
    return best[-1]
