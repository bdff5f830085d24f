"""The token store: a corpus as one flat array of token ids on disk, mapped into memory.

    store/<fingerprint>/tokens.bin      uint16 or uint32, all documents one after another, no special tokens added
                        documents.bin   int64 (num_documents + 1,), where each document starts, and the end
                        keys.bin        uint64 (num_documents,), a hash of each document's text: `split` goes by it
                        bytes.bin       int64 (num_documents,), the size of each document's text in UTF-8
                        sentences.bin   int64, where each sentence starts; only if asked for
                        store.json      what it was made from, and how many documents were dropped, why
                        journal.jsonl   how it grew (zoo.data.journal)
                        manifest.json   sizes and checksums (zoo.data.cache)

Built in one pass, in memory that does not grow with the corpus, and found again by what decides its content: the
documents, their filter, the tokenizer and the settings. One process reads and filters, any number tokenize
(zoo.data.workers), and their results are written in the order of the documents, so that their number changes no byte.
After every 16 batches a shard is finished (zoo.data.journal); a build that was stopped, however that happened, is
taken up behind the last of them. The text before it is read and filtered anew, which costs little, because a filter
that drops duplicates must know what came before.
"""

from __future__ import annotations

import hashlib
import json
import mmap
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from zoo.data.cache import find_or_build
from zoo.data.encoding import OFFSET, Encoded, Encoder, token_dtype
from zoo.data.filter import KEY, REASONS, Filter, Kept, batches, dropped_words
from zoo.data.journal import GrowingFiles
from zoo.data.progress import progress_bar
from zoo.data.sources import SourceConfig
from zoo.data.workers import available_cores, encoded
from zoo.errors import DataError
from zoo.tokenizer.tokenizer import Tokenizer

_FORMAT = 3
"""Goes up when the same documents give other files."""
_SHARD_BATCHES = 16
_CHANGED = "the corpus changed while the token store was built; start again when it is at rest"
_SMALL_BATCHES = 16
"""So much is tokenized by the process that reads, unless told otherwise: others would hardly have started meanwhile."""


class MappedArray(np.memmap):
    """A read-only array on disk that pickles as its place: a worker process maps it too, instead of getting a copy."""

    def __reduce__(self) -> Any:
        base: object = self.base
        if not isinstance(base, mmap.mmap):  # a part of one, or the result of arithmetic
            return np.asarray(self).__reduce__()
        return _mapped, (self.filename, self.dtype)


def _mapped(path: Path, dtype: np.dtype) -> np.ndarray:
    return MappedArray(path, dtype, "r")


class TokenStore:
    """A store that is on disk and whole.

    Attributes:
        tokens: (num_tokens,) uint16 or uint32, memory-mapped: all documents one after another.
        documents: (num_documents + 1,) int64: document d is tokens[documents[d]:documents[d + 1]], never empty.
        keys: (num_documents,) uint64: a hash of each document's text, the same whatever the tokenizer.
        bytes: (num_documents,) int64: how long each document's text is in UTF-8.
        sentences: ascending int64 positions in `tokens` at which sentences start, every document's start among them;
            None where the store was built without.
        fingerprint: SHA-256, in hex, of all that decides the content.
        vocab_size: of the tokenizer; every token is below it.
        num_tokens, num_documents: what is in it. num_bytes: of its documents' text in UTF-8.
        num_read: documents of the source. dropped: reason (`zoo.data.filter.REASONS`) → how many of them are left out.
    """

    def __init__(self, folder: Path) -> None:
        """Opens the store in `folder`, which the caller has checked (`build_store` does)."""
        facts = json.loads((folder / "store.json").read_text(encoding="utf-8"))
        self.folder = folder
        self.fingerprint: str = facts["fingerprint"]
        self.vocab_size: int = facts["vocab_size"]
        self.num_tokens: int = facts["num_tokens"]
        self.num_documents: int = facts["num_documents"]
        self.num_bytes: int = facts["num_bytes"]
        self.num_read: int = facts["num_read"]
        self.dropped: dict[str, int] = facts["dropped"]
        self.tokens = _mapped(folder / "tokens.bin", token_dtype(self.vocab_size))
        self.documents = _mapped(folder / "documents.bin", OFFSET)
        self.keys = _mapped(folder / "keys.bin", KEY)
        self.bytes = _mapped(folder / "bytes.bin", OFFSET)
        marked = folder / "sentences.bin"
        self.sentences = _mapped(marked, OFFSET) if marked.is_file() else None

    def __repr__(self) -> str:
        return f"TokenStore({self.folder}: {self.num_documents} documents, {self.num_tokens} tokens)"


def build_store(
    source: SourceConfig,
    tokenizer: Tokenizer,
    cache: Path,
    sentences: bool = False,
    progress: bool = True,
    num_workers: int | None = None,
) -> TokenStore:
    """The store of a source's documents in a tokenizer's ids; built where `cache` does not hold it yet.

    Args:
        source: where the documents come from. tokenizer: makes ids of them.
        cache: folder for the store; several processes may build in it at once.
        sentences: also keep where each sentence starts.
        progress: show a bar while building, where stderr is a terminal.
        num_workers: processes that tokenize beside this one; 0: none; None: one a core, once 16 million characters
            have been read.

    Raises:
        DataError: no document is left, a document cannot be encoded, the source is damaged or changes while it is
            read, an id does not fit the vocabulary, or the cache cannot be written.
    """
    content = source.kept_fingerprint()
    key = json.dumps([_FORMAT, content, tokenizer.fingerprint, sentences])
    fingerprint = hashlib.sha256(key.encode()).hexdigest()

    def build(folder: Path) -> None:
        with progress_bar("building the token store", source.size(), progress) as advance:
            facts = _write(folder, source, Encoder(tokenizer, sentences), num_workers, advance)
        if source.kept_fingerprint() != content:
            raise DataError(_CHANGED)
        _check_not_empty(facts)
        facts |= {"fingerprint": fingerprint, "source": content, "tokenizer": tokenizer.fingerprint}
        (folder / "store.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")

    return TokenStore(find_or_build(Path(cache) / "store" / fingerprint, "token store", build, resumable=True))


def _write(
    folder: Path, source: SourceConfig, encoder: Encoder, num_workers: int | None, advance: Callable[[int], None]
) -> dict[str, Any]:
    names = ["tokens", "documents", "keys", "bytes", *(["sentences"] if encoder.sentences else [])]
    with GrowingFiles(folder, [f"{name}.bin" for name in names]) as files:
        writer = _Writer(files, encoder)
        kept = _kept_batches(source, advance)
        text = ""
        for batch in islice(kept, writer.num_batches):  # in the files already
            text = _chained(text, batch)
        if text != writer.text:
            raise DataError(_CHANGED)
        finished = writer.num_batches
        for batch, result in _encoded(encoder, kept, num_workers):
            writer.add(batch, result)
            if writer.num_batches % _SHARD_BATCHES == 0:
                writer.finish_shard()
                finished = writer.num_batches
        if writer.num_batches > finished:  # not where a build goes on that was stopped behind its last shard
            writer.finish_shard()
    return writer.facts()


def _encoded(encoder: Encoder, kept: Iterator[Kept], num_workers: int | None) -> Iterator[tuple[Kept, Encoded]]:
    if num_workers is None:
        yield from encoded(encoder, islice(kept, _SMALL_BATCHES), 0)
        num_workers = 0 if available_cores() == 1 else available_cores()
    yield from encoded(encoder, kept, num_workers)


def _kept_batches(source: SourceConfig, advance: Callable[[int], None]) -> Iterator[Kept]:
    at_work = Filter(source.filter)
    for batch in batches(source.documents()):
        yield at_work.keep(batch)
        advance(sum(map(len, batch)))


_COUNTS = ("num_tokens", "num_documents", "num_bytes", "num_read", "dropped")


class _Writer:
    """Appends batches of documents to the files of a store, and counts."""

    def __init__(self, files: GrowingFiles, encoder: Encoder) -> None:
        self.files, self.vocab_size, self.sentences = files, encoder.tokenizer.vocab_size, encoder.sentences
        self.num_batches = self.num_tokens = self.num_documents = self.num_bytes = self.num_read = 0
        self.dropped = dict.fromkeys(REASONS, 0)
        self.text = ""
        if files.state is None:
            files.append("documents.bin", np.zeros(1, OFFSET).tobytes())
        else:
            vars(self).update(files.state)

    def facts(self) -> dict[str, Any]:
        """What store.json says of the files."""
        return {"format": _FORMAT, "vocab_size": self.vocab_size, **self._named(_COUNTS)}

    def _named(self, names: Iterable[str]) -> dict[str, Any]:
        return {name: getattr(self, name) for name in names}

    def add(self, batch: Kept, result: Encoded) -> None:
        """Appends a batch; documents without tokens are left out."""
        has_tokens = result.lengths > 0
        stops = self.num_tokens + np.cumsum(result.lengths)
        self.files.append("tokens.bin", result.tokens.tobytes())
        self.files.append("documents.bin", stops[has_tokens].astype(OFFSET).tobytes())
        self.files.append("keys.bin", batch.keys[has_tokens].tobytes())
        self.files.append("bytes.bin", batch.sizes[has_tokens].astype(OFFSET).tobytes())
        if self.sentences:
            self.files.append("sentences.bin", (self.num_tokens + result.sentences).astype(OFFSET).tobytes())
        self._count(batch, has_tokens, len(result.tokens))

    def finish_shard(self) -> None:
        """Makes sure of what is written so far: a build that is stopped goes on from here."""
        self.files.finish_shard(self._named((*_COUNTS, "num_batches", "text")))

    def _count(self, batch: Kept, has_tokens: np.ndarray, num_tokens: int) -> None:
        num_documents = int(has_tokens.sum())
        dropped = {**batch.dropped, "no_tokens": len(batch.texts) - num_documents}
        self.dropped = {reason: count + dropped[reason] for reason, count in self.dropped.items()}
        self.text = _chained(self.text, batch)
        self.num_batches += 1
        self.num_read += batch.num_read
        self.num_documents += num_documents
        self.num_tokens += num_tokens
        self.num_bytes += int(batch.sizes[has_tokens].sum())


def _chained(text: str, batch: Kept) -> str:
    """A hash of all text so far, from that of the text before and the keys of a batch."""
    return hashlib.sha256(text.encode() + batch.keys.tobytes()).hexdigest()


def _check_not_empty(facts: dict[str, Any]) -> None:
    if facts["num_tokens"]:
        return
    if facts["dropped"]["empty"] == facts["num_read"]:
        raise DataError(f"the corpus is empty: it has no text in any of its {facts['num_read']} documents")
    raise DataError(
        f"no document of the corpus is left of {facts['num_read']:,} ({dropped_words(facts['dropped'])}); "
        "loosen data.source.filter"
    )
