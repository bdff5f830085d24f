"""Several sources as one text, each with its share of the tokens that are trained on.

    kind: mixture
    sources:
      books: {kind: text, path: books/, share: 3}
      web: {kind: parquet, path: web/, share: 1}

Every source has a token store, a filter and a held-out split of its own, so that a share can be changed without
anything being read again. How the shares are kept is said in `zoo/objectives/mixture.py`; each row holds text of one
source only.

The tokenizer learns from all text of all sources. They are read side by side: the next document is always one of the
source that is furthest behind its share, counted in characters, until all are read to their ends. So where the
tokenizer reads the first N characters only, they have the shares too, as far as the sources reach.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from typing import NamedTuple

from zoo.config import setting
from zoo.data.filter import FilterConfig
from zoo.data.sources import SourceConfig, fingerprint_of
from zoo.data.split import Documents, held_out_words
from zoo.errors import ConfigError


class Portion(NamedTuple):
    """Documents of one source of several.

    Attributes:
        name: of the source. share: of the tokens, relative to the shares of the others.
    """

    name: str
    share: float
    documents: Documents


class Blend(NamedTuple):
    """Documents of several sources."""

    portions: tuple[Portion, ...]

    @property
    def fingerprint(self) -> str:
        """SHA-256, in hex, of all that decides what is trained on: the documents, the shares, the order."""
        parts = [(portion.name, portion.share, portion.documents.fingerprint) for portion in self.portions]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    @property
    def num_documents(self) -> int:
        """Of all sources."""
        return sum(portion.documents.num_documents for portion in self.portions)

    @property
    def num_tokens(self) -> int:
        """Of all sources, special tokens not counted."""
        return sum(portion.documents.num_tokens for portion in self.portions)


def portions_of(text: Documents | Blend) -> tuple[Portion, ...]:
    """The text by source; that of a single source has no name."""
    return text.portions if isinstance(text, Blend) else (Portion("", 1.0, text),)


def held_out_by_source(training: Documents | Blend, validation: Documents | Blend) -> str:
    """What validates, in words; by source where there are several."""
    pairs = zip(portions_of(training), portions_of(validation), strict=True)
    words = ((one.name, held_out_words(one.documents, other.documents)) for one, other in pairs)
    return ", ".join(f"{name}: {held}" if name else held for name, held in words)


@dataclasses.dataclass(frozen=True, kw_only=True)
class MixtureConfig(SourceConfig, kind="mixture"):
    """Several sources, mixed by token share: over a run, each gives its share of the tokens, whatever its size.

    A small source is gone through more often than a large one; how often is said at the start of the run.
    """

    sources: dict[str, SourceConfig] = setting(
        doc="the sources by name, each with its `share` of the tokens, relative to the shares of the others"
    )

    def validate(self) -> None:
        """Two sources or more, each with a share, none of them a mixture itself; each has a filter of its own."""
        if self.filter != FilterConfig():
            raise ConfigError(
                "a mixture has none; give it to the sources that it is for (sources.<name>.filter)", "filter"
            )
        if len(self.sources) < 2:
            raise ConfigError(
                f"a mixture has two sources or more, not {len(self.sources)}; write a single one as data.source itself",
                "sources",
            )
        for name, source in self.sources.items():
            key = f"sources.{name}"
            if not name or not all(sign.isalnum() or sign in "_-" for sign in name):
                raise ConfigError(f"{name!r} cannot name a source: use letters, digits, _ and -", "sources")
            if isinstance(source, MixtureConfig):
                raise ConfigError("a mixture cannot be a source of a mixture; write its sources here", f"{key}.kind")
            if source.share is None:
                raise ConfigError(
                    "is required in a mixture: how much of the tokens this source gives, relative to the shares of the "
                    "others",
                    f"{key}.share",
                )

    def documents(self) -> Iterator[str]:
        """The documents of all sources, side by side by share, for the tokenizer to learn from."""
        read = dict.fromkeys(self.sources, 0)
        left = {name: source.kept_documents() for name, source in self.sources.items()}
        shares = self.shares()
        while left:
            name = min(left, key=lambda one: read[one] / shares[one])
            text = next(left[name], None)
            if text is None:
                del left[name]
            else:
                read[name] += len(text) + 1  # an empty document too is a step ahead
                yield text

    def fingerprint(self) -> str:
        """See `SourceConfig.fingerprint`."""
        parts = [(share, self.sources[name].kept_fingerprint()) for name, share in self.shares().items()]
        return fingerprint_of(self.kind, parts)

    def size(self) -> int | None:
        """That of all sources together, where it is known of each."""
        sizes = [source.size() for source in self.sources.values()]
        return None if None in sizes else sum(size for size in sizes if size is not None)

    def by_name(self) -> dict[str, SourceConfig]:
        """See `SourceConfig.by_name`."""
        return self.sources

    def shares(self) -> dict[str, float]:
        """The shares by name, adding up to 1."""
        total = sum(source.share or 0.0 for source in self.sources.values())
        return {name: (source.share or 0.0) / total for name, source in self.sources.items()}
