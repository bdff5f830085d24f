"""From settings to documents in tokens: the whole way of a corpus, each stop found again where it was made before.

source → tokenizer (trained, unless the cache has it) → token store (built, unless the cache has it) → split
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from pathlib import Path
from typing import NamedTuple

from zoo.config import Config, setting, to_mapping
from zoo.data import (  # noqa: F401  (each registers its kinds of source: one import line a file)
    blend,
    delimited,
    huggingface,
    parquet,
    sources,
    stdlib,
)
from zoo.data.blend import Blend, MixtureConfig, Portion
from zoo.data.cache import find_or_build
from zoo.data.progress import progress_bar
from zoo.data.sources import SourceConfig
from zoo.data.split import Documents, split
from zoo.data.stdlib import StdlibConfig
from zoo.data.store import TokenStore, build_store
from zoo.errors import ConfigError, DataError
from zoo.tokenizer.spelling import spelled_bytes
from zoo.tokenizer.tokenizer import Tokenizer
from zoo.tokenizer.train import TokenizerConfig

_FORMAT = 2
"""Goes up when the same corpus and settings give another tokenizer."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataConfig(Config):
    """Which corpus, how much of it validates, and where the work is kept."""

    source: SourceConfig = setting(StdlibConfig(), "where the documents come from")
    validation_fraction: float = setting(
        0.05,
        "share of the documents (of the tokens, in a corpus of few documents) that is held out",
        minimum=0,
        below=1,
    )
    cache: str | None = setting(
        None,
        "folder for trained tokenizers and token stores; null: $ZOO_CACHE, else transformer-zoo in the user's cache",
    )
    num_workers: int | None = setting(
        None,
        "processes that tokenize beside the one that reads; 0: none; null: one a core, once 16 million characters have "
        "been read",
        minimum=0,
    )

    def validate(self) -> None:
        """A share says something in a mixture only."""
        if self.source.share is not None:
            raise ConfigError(
                f"{self.source.share} has no effect on a single source; leave it out, or mix several with "
                "data.source.kind=mixture",
                "source.share",
            )


class Corpus(NamedTuple):
    """A tokenizer and the documents in its ids, those to train on and those to validate on; by source in a mixture.

    Attributes:
        stores: the token stores that the documents are in, by source; a single source has the name "".
    """

    tokenizer: Tokenizer
    training: Documents | Blend
    validation: Documents | Blend
    stores: dict[str, TokenStore]


def cache_folder(data: DataConfig) -> Path:
    """Where trained tokenizers and token stores are kept: data.cache, else $ZOO_CACHE, else the user's cache folder."""
    if data.cache is not None:
        return Path(data.cache).expanduser()
    if os.environ.get("ZOO_CACHE"):
        return Path(os.environ["ZOO_CACHE"]).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "transformer-zoo"


def load_corpus(data: DataConfig, tokenizer: TokenizerConfig, sentences: bool = False, progress: bool = True) -> Corpus:
    """The corpus that the settings amount to; what the cache lacks is made, with a progress bar on a terminal.

    The tokenizer learns from the whole corpus, held-out documents included: which documents are held out of a small
    corpus is only known once there are tokens to count. Each source of a mixture has a store and a split of its own.

    Args:
        data: the corpus. tokenizer: how it becomes tokens.
        sentences: also keep where sentences start (next-sentence pairs need it).
        progress: False silences the bar.

    Raises:
        DataError: see `build_store` and `split`. ConfigError: the tokenizer's settings do not fit the corpus.
    """
    trained = find_or_train(data, tokenizer, progress)
    return read_corpus(data, trained, sentences, progress)


def read_corpus(data: DataConfig, tokenizer: Tokenizer, sentences: bool = False, progress: bool = True) -> Corpus:
    """As `load_corpus`, with the tokenizer at hand."""
    stores, sides, spelled = {}, [], spelled_bytes(tokenizer)
    for name, source in data.source.by_name().items():
        try:
            store = build_store(source, tokenizer, cache_folder(data), sentences, progress, data.num_workers)
            both = split(store, data.validation_fraction, spelled)
            sides.append([Portion(name, source.share or 1.0, side) for side in both])
        except DataError as error:
            raise DataError(f"source {name}: {error}" if name else str(error)) from None
        stores[name] = store
    if not isinstance(data.source, MixtureConfig):
        return Corpus(tokenizer, sides[0][0].documents, sides[0][1].documents, stores)
    training, validation = zip(*sides, strict=True)
    return Corpus(tokenizer, Blend(training), Blend(validation), stores)


def find_or_train(data: DataConfig, tokenizer: TokenizerConfig, progress: bool = True) -> Tokenizer:
    """The tokenizer that `tokenizer` gives on this corpus: opened, found in the cache, or trained and kept there.

    It learns from the documents that the source's filter keeps.
    """
    if not tokenizer.learns:
        return tokenizer.train(())
    key = json.dumps([_FORMAT, to_mapping(tokenizer), data.source.kept_fingerprint()])
    folder = cache_folder(data) / "tokenizer" / hashlib.sha256(key.encode()).hexdigest()

    def train(place: Path) -> None:
        with progress_bar("training the tokenizer", data.source.size(), progress) as advance:
            try:
                trained = tokenizer.train(data.source.kept_documents(), advance)
            except ConfigError as error:
                raise error.under("tokenizer") from None
            trained.write(place)

    return Tokenizer.load(find_or_build(folder, "tokenizer", train))
