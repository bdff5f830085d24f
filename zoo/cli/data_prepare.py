"""`zoo data prepare`: trains the tokenizer of a config and builds its token store, without training a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zoo.cli.arguments import ConfigName, Settings, examples
from zoo.cli.screen import note, table

if TYPE_CHECKING:
    from zoo.data.corpus import Corpus
    from zoo.data.store import TokenStore
    from zoo.training.config import RunConfig

EXAMPLES = examples(
    "zoo data prepare bert-nano",
    "zoo data prepare gpt-nano data.source.filter.normalization=NFC data.source.filter.deduplicate=true",
    "zoo data prepare gpt-nano data.source.kind=text data.source.path=books/ data.cache=cache/  # needs text in books/",
    "zoo data prepare my.yaml data.num_workers=16  # needs my.yaml",
)


def run(config: ConfigName, settings: Settings = None) -> None:
    """Make the tokenizer and the token store of a config.

    What zoo pretrain would make first, and finds again afterwards. The same command goes on with what was stopped.
    """
    from zoo.training.shipped import load_run

    resolved: RunConfig = load_run(config, settings or ()).config
    corpus = prepared(resolved)
    for name, store in corpus.stores.items():
        rows = [*counts(store), ("vocabulary", store.vocab_size), ("store", store.folder)]
        table("", ("", name or resolved.name), rows)
    note(_held_out(corpus))


def prepared(config: RunConfig) -> Corpus:
    """The corpus that a run would have; what is not in the cache is made, with a bar on a terminal."""
    from zoo.data.corpus import load_corpus

    sentences = any(objective.needs_sentences for objective in config.objectives.values())
    try:
        return load_corpus(config.data, config.tokenizer, sentences)
    except KeyboardInterrupt:
        note("what is finished of the token store is kept, and the same command goes on from there")
        raise


def counts(store: TokenStore) -> list[tuple[str, object]]:
    """What became of the documents of a store, as rows of a table."""
    from zoo.data.filter import REASONS

    return [
        ("documents read", store.num_read),
        *((f"  {words}", store.dropped[reason]) for reason, words in REASONS.items() if store.dropped[reason]),
        ("documents kept", store.num_documents),
        ("bytes of text", store.num_bytes),
        ("tokens", store.num_tokens),
    ]


def _held_out(corpus: Corpus) -> str:
    from zoo.data.blend import held_out_by_source

    return held_out_by_source(corpus.training, corpus.validation)
