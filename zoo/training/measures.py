"""What a validation measures, by name, and how each number is made of sums over the held-out rows.

    loss                         the objectives' losses times their weights, added up
    <objective>/loss             mean nats of a target
    <objective>/accuracy         share of the targets that are predicted; of masked tokens, of pairs of sentences, …
    <objective>/exact_match      span corruption: share of the spans that are right as a whole, see `match_spans`
    <objective>/perplexity       e to the loss
    <objective>/bits_per_byte    nats of all targets / ln 2 / bytes of the text that they stand for
    <objective>/loss/<source>    the loss on the rows of one source of a mixture

Perplexity and bits per byte are measured where the targets are tokens. Bits per byte compares models with different
tokenizers. Each target that is a token of text stands for as many bytes as a token of the held-out text has in the
mean: the UTF-8 bytes of its documents, as they were before tokenization, over their tokens; special tokens (the end of
a document, sentinels) stand for none, but their nats count. What the number says depends on the objective:

    causal_lm          how well the model compresses the text; the first token of a document, which nothing predicts,
                       counts on neither side
    masked_lm          pseudo perplexity and pseudo bits per byte: each chosen token given all others of its row that
                       are not hidden with it (Salazar et al. 2020, arXiv:1910.14659, hide one at a time). No code that
                       could be decoded is that short: compare encoders with encoders
    span_corruption    the hidden spans given what stays, each token of a span given those before it: likewise pseudo
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from zoo.objectives.base import ObjectiveConfig

LOWER_IS_BETTER = ("loss", "perplexity", "bits_per_byte")
OF_TOKENS = "language_model"
"""The head of the objectives whose targets are tokens."""


def measure_names(objectives: Mapping[str, ObjectiveConfig], sources: Iterable[str] = ()) -> list[str]:
    """All that a validation of these objectives measures, in the order of the log."""
    names = ["loss"]
    for name, config in objectives.items():
        text = ("perplexity", "bits_per_byte") if config.head == OF_TOKENS else ()
        names += [f"{name}/{measure}" for measure in ("loss", *config.metrics, *text)]
        names += [f"{name}/loss/{source}" for source in sources]
    return names


def is_better_higher(metric: str) -> bool:
    """Whether of a column of the log, `validation/…` or `validation_ema/…`, more is better."""
    words = metric.split("/")[1:]
    return words[min(1, len(words) - 1)] not in LOWER_IS_BETTER


def text_measures(nats: float, count: float, num_bytes: float) -> dict[str, float]:
    """What an objective whose targets are tokens is measured by.

    Args:
        nats: of all targets. count: of them.
        num_bytes: of the text that they stand for; 0: there is none, and so no bits per byte.
    """
    loss = nats / max(count, 1.0)
    measures = {"perplexity": math.exp(loss) if loss < 700 else math.inf}
    return measures if not num_bytes else {**measures, "bits_per_byte": nats / math.log(2) / num_bytes}
