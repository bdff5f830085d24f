"""A source of documents from memory, for tests of what becomes of them."""

import dataclasses
from collections.abc import Iterator

from zoo.data.sources import SourceConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class ListConfig(SourceConfig):
    """Documents from memory."""

    texts: tuple[str, ...]

    def documents(self) -> Iterator[str]:
        """The texts."""
        return iter(self.texts)

    def fingerprint(self) -> str:
        """The texts themselves."""
        return repr(self.texts)
