"""Masked language modelling: batches with hidden tokens, rows per second, ours beside transformers' collator.

    python -m benchmarks.masking [--rows 16] [--lengths 512 128] [--rounds 7]

Both sides start from the token ids of full rows in memory and end with a batch of int64 tensors: ids with 80/10/10
noise at 15 % of the places, and labels. transformers' `DataCollatorForLanguageModeling` takes a list of dicts and hides
by torch's generator; ours goes from (epoch, sample) numbers through the row maker and the objective, so that the noise
of a row is a function of its number. The sides take turns in one process; medians of rows per second, and the ratio, by
the clock and by the processors' time, which others on the machine disturb less.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

BATCHES = 20


def ours(text: np.ndarray, rows: int, length: int) -> Callable[[int], Any]:
    """Batch number → our batch."""
    from tests.data.synthetic import SyntheticTokenizer, documents_of
    from zoo.objectives.base import Setup
    from zoo.objectives.masked_lm import MaskedLMConfig
    from zoo.objectives.mixture import Mixture

    setup = Setup(SyntheticTokenizer("bert", vocab_size=30_522), length, 0)  # type: ignore[arg-type]
    documents = documents_of(
        [(piece + 5).tolist() for piece in np.split(text, range(length - 2, len(text), length - 2))]
    )
    mixed = Mixture({"masked_lm": MaskedLMConfig()}, setup).over(documents)
    epochs = np.zeros(rows, np.int64)
    return lambda number: mixed.collate(epochs, np.arange(number * rows, (number + 1) * rows))


def theirs(text: np.ndarray, rows: int, length: int) -> Callable[[int], Any]:
    """Batch number → transformers' batch."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import DataCollatorForLanguageModeling, PreTrainedTokenizerFast

    vocabulary = {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4}
    vocabulary |= {f"w{number}": number for number in range(5, 30_522)}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(WordLevel(vocabulary, "[UNK]")),
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )
    collate = DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.15)
    pieces = [[2, *(piece + 5).tolist(), 3] for piece in np.split(text, range(length - 2, len(text), length - 2))]
    special = [1, *[0] * (length - 2), 1]
    examples = [{"input_ids": piece, "special_tokens_mask": special} for piece in pieces if len(piece) == length]
    return lambda number: collate([dict(e) for e in examples[number * rows : (number + 1) * rows]])


def compare(rows: int, length: int, rounds: int) -> None:
    """Prints rows per second of both sides and the ratio of neighbouring rounds, for batches of one shape."""
    size = (BATCHES * rows + 1) * (length - 2)
    text = np.random.default_rng(0).integers(0, 30_000, size)
    sides = {"zoo": ours(text, rows, length), "transformers": theirs(text, rows, length)}
    clocks = {"s": time.perf_counter, "CPU s": time.process_time}
    speeds: dict[str, dict[str, list[float]]] = {clock: {side: [] for side in sides} for clock in clocks}
    for _ in range(rounds + 1):
        for side, batch in sides.items():
            starts = {clock: now() for clock, now in clocks.items()}
            for number in range(BATCHES):
                batch(number)
            for clock, now in clocks.items():
                speeds[clock][side].append(BATCHES * rows / (now() - starts[clock]))
    print(f"{rows} rows of {length} tokens")
    for clock, found in speeds.items():
        for side, values in found.items():
            spread = f"[{min(values[1:]):,.0f} to {max(values[1:]):,.0f}]"
            print(f"{side:12} {statistics.median(values[1:]):10,.0f} rows/{clock} {spread}")
        ratios = [mine / other for mine, other in zip(found["zoo"][1:], found["transformers"][1:], strict=True)]
        print(f"zoo / transformers: {statistics.median(ratios):.1f} [{min(ratios):.1f} to {max(ratios):.1f}]")


def main() -> None:
    """Compares batches of each length."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=16)
    parser.add_argument("--lengths", type=int, nargs="+", default=[512, 128])
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    for length in arguments.lengths:
        compare(arguments.rows, length, arguments.rounds)


if __name__ == "__main__":
    main()
