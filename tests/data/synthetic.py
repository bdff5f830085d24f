"""Small made-up corpora and a tokenizer without text, for tests of rows and noise."""

from collections.abc import Sequence

import numpy as np

from zoo.data.split import Documents
from zoo.errors import DataError

FAMILIES = {
    "bert": {"padding": 0, "unknown": 1, "classify": 2, "separate": 3, "mask": 4},
    "gpt": {"begin": 0, "end": 0, "padding": 0},
    "t5": {"padding": 0, "end": 1, "unknown": 2},
}
FIRST_ORDINARY = 5
"""The smallest id that is special in no family."""


class SyntheticTokenizer:
    """What objectives ask of a tokenizer: ids of special tokens, sentinels at the top of the vocabulary."""

    def __init__(self, family: str, vocab_size: int = 1000, num_sentinels: int = 100) -> None:
        self.vocab_size = vocab_size
        self.roles = FAMILIES[family]
        self.sentinels = tuple(range(vocab_size - 1, vocab_size - 1 - num_sentinels, -1)) if family == "t5" else ()
        self.special_ids = np.array(sorted({*self.roles.values(), *self.sentinels}), np.int64)

    def role(self, name: str) -> int:
        """As the real one: refuses a role that the family lacks."""
        if name not in self.roles:
            raise DataError(f"no {name} token")
        return self.roles[name]


def documents_of(texts: Sequence[Sequence[int]], gap: int = 0, sentence: int | None = None) -> Documents:
    """Documents with these tokens; `gap` foreign tokens between them; a sentence begins every `sentence` tokens."""
    tokens: list[int] = []
    starts, stops, sentences = [], [], []
    for text in texts:
        tokens.extend([999] * gap)
        starts.append(len(tokens))
        tokens.extend(text)
        stops.append(len(tokens))
        sentences.extend(range(starts[-1], stops[-1], sentence or 1))
    tokens.extend([999] * gap)
    return Documents(
        np.array(tokens, np.uint16),
        np.array(starts, np.int64),
        np.array(stops, np.int64),
        np.array(sentences, np.int64) if sentence else None,
        "synthetic",
    )


def random_documents(count: int, mean: int, seed: int = 0, sentence: int | None = 6, high: int = 800) -> Documents:
    """`count` documents of random ordinary tokens, with `mean` tokens on average and 1 at least."""
    draw = np.random.default_rng(seed)
    lengths = 1 + draw.geometric(1 / mean, count)
    return documents_of([draw.integers(FIRST_ORDINARY, high, n).tolist() for n in lengths], sentence=sentence)


def numbers(*values: int) -> np.ndarray:
    """A row of int64."""
    return np.array(values, np.int64)


def all_rows(num_rows: int, epoch: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(epochs, samples) of one whole epoch."""
    return np.full(num_rows, epoch, np.int64), np.arange(num_rows)
