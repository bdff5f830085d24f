"""The token store: a corpus as one flat array of token ids on disk, mapped into memory.

    store/<fingerprint>/tokens.bin      uint16 or uint32, all documents one after another, no special tokens added
                        documents.bin   int64 (num_documents + 1,), where each document starts, and the end
                        keys.bin        uint64 (num_documents,), a hash of each document's text: `split` goes by it
                        sentences.bin   int64, where each sentence starts; only if asked for
                        store.json      what it was made from
                        manifest.json   sizes and checksums (zoo.data.cache)

Built in one pass with a bounded amount of memory, found again by what decides its content: the documents, the tokenizer
and the settings. Empty documents and those without any token are left out and counted.
"""

from __future__ import annotations

import hashlib
import json
import mmap
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from zoo.data.cache import find_or_build
from zoo.data.progress import progress_bar
from zoo.data.sentences import sentence_starts
from zoo.data.sources import SourceConfig
from zoo.errors import DataError
from zoo.tokenizer.tokenizer import Tokenizer

_FORMAT = 1
"""Goes up when the same documents give other files."""
_BATCH_CHARACTERS = 1 << 20
_BATCH_DOCUMENTS = 1 << 13
_OFFSET, _KEY = np.dtype("<i8"), np.dtype("<u8")


def token_dtype(vocab_size: int) -> np.dtype:
    """The smallest dtype that holds every id of a vocabulary: uint16 up to 65,536 entries, uint32 beyond."""
    if vocab_size <= 1 << 16:
        return np.dtype("<u2")
    if vocab_size <= 1 << 32:
        return np.dtype("<u4")
    raise DataError(f"a vocabulary of {vocab_size} entries does not fit into 32 bits")


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
        sentences: ascending int64 positions in `tokens` at which sentences start, every document's start among them;
            None where the store was built without.
        fingerprint: SHA-256, in hex, of all that decides the content.
        num_tokens, num_documents, num_skipped: the last counts the empty documents that were left out.
    """

    def __init__(self, folder: Path) -> None:
        """Opens the store in `folder`, which the caller has checked (`build_store` does)."""
        facts = json.loads((folder / "store.json").read_text(encoding="utf-8"))
        self.folder = folder
        self.fingerprint: str = facts["fingerprint"]
        self.num_tokens: int = facts["num_tokens"]
        self.num_documents: int = facts["num_documents"]
        self.num_skipped: int = facts["num_skipped"]
        self.tokens = _mapped(folder / "tokens.bin", token_dtype(facts["vocab_size"]))
        self.documents = _mapped(folder / "documents.bin", _OFFSET)
        self.keys = _mapped(folder / "keys.bin", _KEY)
        marked = folder / "sentences.bin"
        self.sentences = _mapped(marked, _OFFSET) if marked.is_file() else None

    def __repr__(self) -> str:
        return f"TokenStore({self.folder}: {self.num_documents} documents, {self.num_tokens} tokens)"


def build_store(
    source: SourceConfig, tokenizer: Tokenizer, cache: Path, sentences: bool = False, progress: bool = True
) -> TokenStore:
    """The store of a source's documents in a tokenizer's ids; built where `cache` does not hold it yet.

    Args:
        source: where the documents come from. tokenizer: makes ids of them.
        cache: folder for the store; several processes may build in it at once.
        sentences: also keep where each sentence starts.
        progress: show a bar while building, where stderr is a terminal.

    Raises:
        DataError: there is no document with a token in it, a document cannot be encoded, the source is damaged or
            changes while it is read, an id does not fit the vocabulary, or the cache cannot be written.
    """
    content = source.fingerprint()
    key = json.dumps([_FORMAT, content, tokenizer.fingerprint, sentences])
    fingerprint = hashlib.sha256(key.encode()).hexdigest()

    def build(folder: Path) -> None:
        with progress_bar("building the token store", source.size(), progress) as advance:
            facts = _write(folder, _batches(source), tokenizer, sentences, advance)
        if source.fingerprint() != content:
            raise DataError("the corpus changed while the token store was built; start again when it is at rest")
        if not facts["num_tokens"]:
            raise DataError(f"the corpus is empty: it has no text in any of its {facts['num_skipped']} documents")
        facts |= {"fingerprint": fingerprint, "source": content, "tokenizer": tokenizer.fingerprint}
        (folder / "store.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")

    return TokenStore(find_or_build(Path(cache) / "store" / fingerprint, "token store", build))


def _batches(source: SourceConfig) -> Iterator[list[str]]:
    batch: list[str] = []
    characters = 0
    for text in source.documents():
        batch.append(text)
        characters += len(text)
        if characters >= _BATCH_CHARACTERS or len(batch) >= _BATCH_DOCUMENTS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def _write(
    folder: Path, batches: Iterator[list[str]], tokenizer: Tokenizer, sentences: bool, advance: Callable[[int], None]
) -> dict[str, object]:
    writer = _Writer(tokenizer, sentences)
    with ExitStack() as files:
        names = ["tokens", "documents", "keys", *(["sentences"] if sentences else [])]
        outputs: dict[str, BinaryIO] = {
            name: files.enter_context((folder / f"{name}.bin").open("wb")) for name in names
        }
        outputs["documents"].write(np.zeros(1, _OFFSET).tobytes())
        for batch in batches:
            writer.add(batch, outputs)
            advance(sum(map(len, batch)))
    return writer.facts()


class _Writer:
    """Appends batches of documents to the files of a store."""

    def __init__(self, tokenizer: Tokenizer, sentences: bool) -> None:
        self.tokenizer, self.sentences = tokenizer, sentences
        self.dtype = token_dtype(tokenizer.vocab_size)
        self.num_tokens = self.num_documents = self.num_read = 0

    def facts(self) -> dict[str, object]:
        """What store.json says of the files."""
        return {
            "format": _FORMAT,
            "vocab_size": self.tokenizer.vocab_size,
            "num_tokens": self.num_tokens,
            "num_documents": self.num_documents,
            "num_skipped": self.num_read - self.num_documents,
        }

    def add(self, batch: list[str], outputs: dict[str, BinaryIO]) -> None:
        """Encodes the documents and appends them; empty ones are left out."""
        numbers = [self.num_read + index for index, text in enumerate(batch) if text and not text.isspace()]
        texts = [batch[number - self.num_read] for number in numbers]
        self.num_read += len(batch)
        keys = [_key(text, number) for text, number in zip(texts, numbers, strict=True)]
        ids, starts = self._encode(texts, numbers)
        kept = [index for index, tokens in enumerate(ids) if len(tokens)]
        if not kept:
            return
        lengths = np.array([len(ids[index]) for index in kept], dtype=np.int64)
        stops = self.num_tokens + np.cumsum(lengths)
        flat = np.concatenate([ids[index] for index in kept])
        self._check_range(flat, stops - self.num_tokens, [numbers[index] for index in kept])
        outputs["tokens"].write(flat.astype(self.dtype).tobytes())
        outputs["documents"].write(stops.astype(_OFFSET).tobytes())
        outputs["keys"].write(np.array([keys[index] for index in kept], dtype=_KEY).tobytes())
        if self.sentences:
            for index, length, stop in zip(kept, lengths, stops, strict=True):
                first = np.unique(np.append(0, starts[index][starts[index] < length]))
                outputs["sentences"].write((first + (stop - length)).astype(_OFFSET).tobytes())
        self.num_tokens = int(stops[-1])
        self.num_documents += len(kept)

    def _encode(self, texts: list[str], numbers: list[int]) -> tuple[list[np.ndarray], list[np.ndarray]]:
        try:
            if self.sentences:
                return self.tokenizer.encode_with_sentences(texts, [sentence_starts(text) for text in texts])
            return self.tokenizer.encode_batch(texts), []
        except DataError as error:
            if len(texts) == 1:
                raise DataError(f"document {numbers[0]} of the corpus (counted from 0): {error}") from None
        for text, number in zip(texts, numbers, strict=True):  # one by one, to find out which it was
            self._encode([text], [number])
        raise DataError(f"documents {numbers[0]} to {numbers[-1]} of the corpus can be encoded alone but not together")

    def _check_range(self, flat: np.ndarray, stops: np.ndarray, numbers: list[int]) -> None:
        size = self.tokenizer.vocab_size
        if flat.min() >= 0 and flat.max() < size:
            return
        place = int(np.flatnonzero((flat < 0) | (flat >= size))[0])
        number = numbers[int(np.searchsorted(stops, place, side="right"))]
        raise DataError(
            f"document {number} of the corpus (counted from 0): the tokenizer made the id {flat[place]} of it, "
            f"which is not in its vocabulary (0 … {size - 1})"
        )


def _key(text: str, number: int) -> int:
    try:
        content = text.encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"document {number} of the corpus (counted from 0): character {error.start} is half of a surrogate pair, "
            "which no text can hold"
        ) from None
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little")
