"""What a token store holds, in numbers: lengths of documents, use of the vocabulary, unigram entropy.

The unigram entropy, −Σ p log₂ p over the shares p of the tokens (Shannon 1948, section 6), is the loss of a model that
knows how often each token occurs and nothing else. A model that has learnt anything is below it. Per byte of text it
compares over tokenizers.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from zoo.data.store import TokenStore

_BLOCK_TOKENS = 1 << 22
QUANTILES = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)


class Statistics(NamedTuple):
    """A store in numbers.

    Attributes:
        counts: (vocab_size,) int64, how often each token occurs.
        lengths: (len(QUANTILES),) int64, tokens of a document at these quantiles, the smallest and largest among them.
        mean_length: tokens of a document. bytes_per_token: of the text in UTF-8.
        used: entries of the vocabulary that occur. frequent: the fewest entries that make up 90 % of all tokens.
        entropy: bits per token; `entropy_per_byte`: bits per byte of text.
    """

    counts: np.ndarray
    lengths: np.ndarray
    mean_length: float
    bytes_per_token: float
    used: int
    frequent: int
    entropy: float
    entropy_per_byte: float


def measure(store: TokenStore) -> Statistics:
    """The statistics of a whole store, in one pass over its tokens."""
    counts = token_counts(store.tokens, store.vocab_size)
    bits = unigram_entropy(counts)
    lengths = np.diff(store.documents)
    ordered = np.cumsum(np.sort(counts)[::-1])
    return Statistics(
        counts=counts,
        lengths=np.quantile(lengths, QUANTILES, method="nearest").astype(np.int64),
        mean_length=store.num_tokens / store.num_documents,
        bytes_per_token=store.num_bytes / store.num_tokens,
        used=int(np.count_nonzero(counts)),
        frequent=int(np.searchsorted(ordered, 0.9 * store.num_tokens)) + 1,
        entropy=bits,
        entropy_per_byte=bits * store.num_tokens / store.num_bytes,
    )


def token_counts(tokens: np.ndarray, vocab_size: int) -> np.ndarray:
    """(vocab_size,) int64: how often each id occurs in (n,) `tokens`; read in blocks, so that memory stays bounded."""
    counts = np.zeros(vocab_size, dtype=np.int64)
    for start in range(0, len(tokens), _BLOCK_TOKENS):
        counts += np.bincount(tokens[start : start + _BLOCK_TOKENS], minlength=vocab_size)
    return counts


def unigram_entropy(counts: np.ndarray) -> float:
    """Bits per token of text with these numbers of occurrences; 0 where there is none."""
    total = counts.sum()
    shares = counts[counts > 0] / total if total else np.ones(1)
    return float(-(shares * np.log2(shares)).sum()) + 0.0  # -0.0 becomes 0.0
