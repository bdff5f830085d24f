"""`zoo data stats`: a token store in numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zoo.cli.arguments import ConfigName, Settings, examples
from zoo.cli.data_prepare import counts, prepared
from zoo.cli.screen import table

if TYPE_CHECKING:
    from zoo.data.store import TokenStore
    from zoo.tokenizer.tokenizer import Tokenizer
    from zoo.training.config import RunConfig

EXAMPLES = examples(
    "zoo data stats bert-nano",
    "zoo data stats runs/gpt-nano",
    "# needs text in books/",
    "zoo data stats gpt-nano data.source.kind=text data.source.path=books/ data.source.document=blank_line",
)

MOST_FREQUENT = 10
"""Tokens that are shown."""


def run(config: ConfigName, settings: Settings = None) -> None:
    """Show how much text a run has, in documents, tokens and bits.

    A model that has learnt anything has a loss below the unigram entropy. What is not prepared yet is prepared first.
    """
    from zoo.training.shipped import load_run

    resolved: RunConfig = load_run(config, settings or ()).config
    corpus = prepared(resolved)
    for number, (name, store) in enumerate(corpus.stores.items()):
        print("\n" * bool(number), end="")
        _show(name or resolved.name, store, corpus.tokenizer)


def _show(name: str, store: TokenStore, tokenizer: Tokenizer) -> None:
    import math

    from zoo.data.statistics import QUANTILES, measure

    found = measure(store)
    rows: list[tuple[str, object]] = [
        *counts(store),
        ("bytes per token", found.bytes_per_token),
        ("vocabulary", store.vocab_size),
        ("  entries that occur", f"{found.used:,} ({found.used / store.vocab_size:.1%})"),
        ("  entries that make up 90 % of the tokens", found.frequent),
        ("unigram entropy, bits per token", found.entropy),
        ("unigram entropy, nats per token (as a loss)", found.entropy * math.log(2)),
        ("unigram entropy, bits per byte", found.entropy_per_byte),
    ]
    table("", ("", name), rows)
    names = {0.0: "shortest", 0.5: "median", 1.0: "longest"}
    lengths = [
        (names.get(share, f"{share:.0%}"), int(length)) for share, length in zip(QUANTILES, found.lengths, strict=True)
    ]
    print()
    table("", ("documents", "tokens"), [*lengths, ("mean", found.mean_length)])
    print()
    order = found.counts.argsort(kind="stable")[::-1][:MOST_FREQUENT]
    share = [(tokenizer.token(id), int(found.counts[id]), f"{found.counts[id] / store.num_tokens:.2%}") for id in order]
    table("", ("most frequent token", "times", "share"), [row for row in share if row[1]])
