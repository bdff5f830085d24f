"""The token store: what is in it, when it is found again, and what it refuses."""

import errno
import json
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.data.memory import ListConfig
from tests.source_tree import ROOT
from zoo.data import store as module
from zoo.data.encoding import Encoder
from zoo.data.filter import FilterConfig
from zoo.data.journal import GrowingFiles
from zoo.data.sentences import sentence_starts
from zoo.data.sources import JsonLinesConfig, TextConfig
from zoo.data.store import TokenStore, build_store
from zoo.errors import DataError
from zoo.tokenizer.joining import FlatIds
from zoo.tokenizer.train import ByteLevelBPEConfig, BytesConfig, CharactersConfig, WordPieceConfig

TEXTS = ["One two. Three four!  Five?", "", "Six seven eight", "  \n", "Nine. Ten. Eleven twelve."]
TOKENIZER = BytesConfig().train()


SOURCE = ListConfig(texts=tuple(TEXTS))


def documents(store: TokenStore) -> list[list[int]]:
    return [part.tolist() for part in np.split(store.tokens, store.documents[1:-1])]


@pytest.mark.parametrize("batch", [1, 2, 8_192])
def test_a_store_holds_each_document_that_has_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int) -> None:
    monkeypatch.setattr("zoo.data.filter._BATCH_DOCUMENTS", batch)
    store = build_store(SOURCE, TOKENIZER, tmp_path, sentences=True)
    kept = [TEXTS[0], TEXTS[2], TEXTS[4]]
    assert documents(store) == [TOKENIZER.encode(text).tolist() for text in kept]
    assert (store.num_read, store.num_documents, store.num_tokens) == (5, 3, sum(map(len, kept)))
    assert store.num_bytes == sum(len(text.encode()) for text in kept)
    assert store.dropped == {"empty": 2, "too_short": 0, "duplicate": 0, "no_tokens": 0}
    assert store.tokens.dtype == np.uint16
    assert isinstance(store.tokens, np.memmap)
    assert not store.tokens.flags.writeable
    assert store.documents.dtype == np.int64
    offsets = [
        offset + start for offset, text in zip(store.documents, kept, strict=False) for start in sentence_starts(text)
    ]
    assert store.sentences is not None
    assert store.sentences.tolist() == offsets
    assert build_store(SOURCE, TOKENIZER, tmp_path).sentences is None


def test_documents_without_tokens_are_left_out_too(tmp_path: Path) -> None:
    tokenizer = WordPieceConfig(vocab_size=60).train(TEXTS)
    store = build_store(ListConfig(texts=("\x00\x01", "One", "\ufffd")), tokenizer, tmp_path, sentences=True)
    assert (store.num_documents, store.num_bytes) == (1, 3)
    assert store.dropped == {"empty": 0, "too_short": 0, "duplicate": 0, "no_tokens": 2}


def test_found_again_by_what_decides_its_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = build_store(SOURCE, TOKENIZER, tmp_path)
    others = {
        build_store(SOURCE, TOKENIZER, tmp_path, sentences=True).fingerprint,
        build_store(SOURCE, BytesConfig(special_tokens="bert").train(), tmp_path).fingerprint,
        build_store(ListConfig(texts=(*TEXTS, "x")), TOKENIZER, tmp_path).fingerprint,
    }
    assert len(others | {store.fingerprint}) == 4
    monkeypatch.setattr(module, "_write", None)  # building anything would fail now
    again = build_store(SOURCE, TOKENIZER, tmp_path)
    assert (again.folder, again.fingerprint) == (store.folder, store.fingerprint)
    assert documents(again) == documents(store)


def test_one_byte_of_the_corpus_makes_another_store(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("some text")
    source = TextConfig(path=str(tmp_path / "a.txt"))
    before = build_store(source, TOKENIZER, tmp_path)
    (tmp_path / "a.txt").write_text("some tent")
    after = build_store(source, TOKENIZER, tmp_path)
    assert before.fingerprint != after.fingerprint
    assert TOKENIZER.decode(after.tokens) == "some tent"


class Pretending:
    """A tokenizer that gives one id for each character: its code point, whatever the vocabulary."""

    def __init__(self, vocab_size: int) -> None:
        self.vocab_size, self.fingerprint = vocab_size, str(vocab_size)

    def encode_flat(self, texts: list[str], sentence_starts: None) -> FlatIds:
        ids = np.array([ord(one) for text in texts for one in text], dtype=np.int64)
        return FlatIds(ids, np.array([len(text) for text in texts], dtype=np.int64), ids[:0])


def test_ids_at_the_boundary_of_the_dtype(tmp_path: Path) -> None:
    top, above = chr(65_535), chr(65_536)
    assert build_store(ListConfig(texts=("a", top)), Pretending(65_536), tmp_path).tokens.tolist() == [97, 65_535]
    wide = build_store(ListConfig(texts=("a", above)), Pretending(65_537), tmp_path)
    assert (wide.tokens.dtype, wide.tokens.tolist()) == (np.uint32, [97, 65_536])
    with pytest.raises(DataError, match=r"document 2 .*the id 65536 .*not in its vocabulary \(0 … 65535\)"):
        build_store(ListConfig(texts=("a", "", above)), Pretending(65_536), tmp_path)


@pytest.mark.parametrize("texts", [(), ("", " \n")])
def test_an_empty_corpus_is_refused(tmp_path: Path, texts: tuple[str, ...]) -> None:
    with pytest.raises(DataError, match=f"the corpus is empty: it has no text in any of its {len(texts)} documents"):
        build_store(ListConfig(texts=texts), TOKENIZER, tmp_path)
    assert not [path for path in (tmp_path / "store").iterdir() if path.is_dir()]


def test_a_document_that_cannot_be_encoded_is_named(tmp_path: Path) -> None:
    closed = CharactersConfig().train(["abc"])
    with pytest.raises(DataError, match=r"document 3 of the corpus .* no id for the character 'é'"):
        build_store(ListConfig(texts=("a", "", "b", "é", "c")), closed, tmp_path)
    with pytest.raises(DataError, match=r"document 1 of the corpus .* half of a surrogate pair"):
        build_store(ListConfig(texts=("a", "b\udc00")), TOKENIZER, tmp_path)


def test_a_corpus_that_changes_meanwhile_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("first")

    class Changing(TextConfig):
        def documents(self) -> Iterator[str]:
            yield from super().documents()
            path.write_text("second")

    with pytest.raises(DataError, match="changed while the token store was built"):
        build_store(Changing(path=str(path)), TOKENIZER, tmp_path)


def test_a_damaged_store_is_built_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = build_store(SOURCE, TOKENIZER, tmp_path)
    expected = documents(store)
    for damage in (lambda content: content[:-1], lambda content: bytes([content[0] ^ 1]) + content[1:]):
        path = store.folder / "tokens.bin"
        path.write_bytes(damage(path.read_bytes()))
        assert documents(build_store(SOURCE, TOKENIZER, tmp_path)) == expected
        assert "tokens.bin" in caplog.text


def _sum(tokens: np.ndarray) -> int:
    return int(tokens.sum())


def test_a_worker_process_maps_the_tokens_instead_of_copying_them(tmp_path: Path) -> None:
    store = build_store(ListConfig(texts=("a long text " * 10_000,)), TOKENIZER, tmp_path)
    assert len(pickle.dumps(store.tokens)) < 1_000
    assert isinstance(pickle.loads(pickle.dumps(store.tokens)), np.memmap)
    assert pickle.loads(pickle.dumps(store.tokens[5:9])).tolist() == store.tokens[5:9].tolist()
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(_sum, (store.tokens,)) == _sum(store.tokens)


def files_of(store: TokenStore) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in store.folder.iterdir()}


NUMBERED = tuple(f"Document {number}. It has\u0301 a second sentence." for number in range(40))


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three documents a batch, two batches a shard."""
    monkeypatch.setattr("zoo.data.filter._BATCH_DOCUMENTS", 3)
    monkeypatch.setattr(module, "_SHARD_BATCHES", 2)


@pytest.mark.usefixtures("small_shards")
def test_any_number_of_processes_makes_the_same_bytes(tmp_path: Path) -> None:
    source = ListConfig(texts=(*NUMBERED, "", *NUMBERED), filter=FilterConfig(deduplicate=True, normalization="NFC"))
    alone, *others = [
        files_of(build_store(source, TOKENIZER, tmp_path / str(count), sentences=True, num_workers=count))
        for count in (0, 1, 3)
    ]
    assert others == [alone] * 2
    assert json.loads(alone["store.json"])["dropped"]["duplicate"] == 40


def test_a_document_that_cannot_be_encoded_is_named_by_another_process_too(tmp_path: Path) -> None:
    closed = CharactersConfig().train(["abc"])
    with pytest.raises(DataError, match=r"^document 3 of the corpus .* no id for the character 'é'"):
        build_store(ListConfig(texts=("a", "", "b", "é", "c")), closed, tmp_path, num_workers=2)
    assert [path.suffix for path in (tmp_path / "store").iterdir()] == [".lock"]


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.data import test_store as test
from tests.data.memory import ListConfig
import zoo.data.filter, zoo.data.store
zoo.data.filter._BATCH_DOCUMENTS, zoo.data.store._SHARD_BATCHES = 3, 2

class Deadly(ListConfig):
    def documents(self):
        for number, text in enumerate(self.texts):
            if number == int(sys.argv[2]):
                os.kill(os.getpid(), signal.SIGKILL)
            yield text

zoo.data.store.build_store(
    Deadly(texts=test.NUMBERED), test.TOKENIZER, Path(sys.argv[1]), sentences=True, num_workers=int(sys.argv[3])
)
"""


def kill_at(document: int, cache: Path, num_workers: int) -> None:
    arguments = [sys.executable, "-c", KILLED, str(cache), str(document), str(num_workers)]
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.mark.usefixtures("small_shards")
@pytest.mark.parametrize("num_workers", [0, 2])
def test_killed_twice_it_goes_on_and_ends_with_the_same_bytes(
    tmp_path: Path, num_workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = ListConfig(texts=NUMBERED)
    unbroken = files_of(build_store(source, TOKENIZER, tmp_path / "unbroken", sentences=True))
    kill_at(20, tmp_path / "killed", num_workers)
    kill_at(39, tmp_path / "killed", num_workers)
    (journal,) = (tmp_path / "killed").glob("store/.*.building-kept/journal.jsonl")
    finished = len(journal.read_bytes().splitlines())
    assert finished >= 3
    encoded: list[int] = []
    encode = Encoder.encode
    monkeypatch.setattr(Encoder, "encode", lambda self, *batch: encoded.extend(batch[1]) or encode(self, *batch))
    resumed = build_store(source, TOKENIZER, tmp_path / "killed", sentences=True, num_workers=0)
    assert sorted(encoded) == list(range(6 * finished, 40))  # what was finished is not done again
    assert files_of(resumed) == unbroken
    assert not list((tmp_path / "killed").glob("store/.*.building-*"))


KILLED_BEFORE_THE_RENAME = """
import os, pathlib, signal, sys
from tests.data import test_store as test
from tests.data.memory import ListConfig
import zoo.data.filter, zoo.data.store
zoo.data.filter._BATCH_DOCUMENTS, zoo.data.store._SHARD_BATCHES = 3, 2
pathlib.Path.rename = lambda self, target: os.kill(os.getpid(), signal.SIGKILL)
source = ListConfig(texts=test.NUMBERED[:37])
zoo.data.store.build_store(source, test.TOKENIZER, pathlib.Path(sys.argv[1]), num_workers=0)
"""


@pytest.mark.usefixtures("small_shards")
def test_killed_behind_its_last_shard_it_adds_nothing(tmp_path: Path) -> None:
    source = ListConfig(texts=NUMBERED[:37])  # the seventh shard, the last, has one batch and room for one more
    unbroken = files_of(build_store(source, TOKENIZER, tmp_path / "unbroken"))
    arguments = [sys.executable, "-c", KILLED_BEFORE_THE_RENAME, str(tmp_path / "killed")]
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    (journal,) = (tmp_path / "killed").glob("store/.*.building-kept/journal.jsonl")
    assert len(journal.read_bytes().splitlines()) == 7
    assert files_of(build_store(source, TOKENIZER, tmp_path / "killed")) == unbroken


def test_a_source_that_changed_between_the_stop_and_going_on_is_found_out(tmp_path: Path, small_shards: None) -> None:
    path = tmp_path / "a.txt"

    class Changing(TextConfig):
        def documents(self) -> Iterator[str]:
            for number, text in enumerate(super().documents()):
                if number == 20:
                    raise KeyboardInterrupt
                yield text + " as it was for a while"

    path.write_text("\n".join(NUMBERED))
    settings = {"path": str(path), "document": "line"}
    with pytest.raises(KeyboardInterrupt):
        build_store(Changing(**settings), TOKENIZER, tmp_path)
    with pytest.raises(DataError, match="changed while the token store was built"):
        build_store(TextConfig(**settings), TOKENIZER, tmp_path)
    assert build_store(TextConfig(**settings), TOKENIZER, tmp_path).num_documents == 40


@pytest.mark.usefixtures("small_shards")
def test_a_full_disk_is_said_and_what_is_finished_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = ListConfig(texts=NUMBERED)
    unbroken = files_of(build_store(source, TOKENIZER, tmp_path / "unbroken"))
    append, calls = GrowingFiles.append, []

    def fail(self: GrowingFiles, name: str, content: bytes) -> None:
        calls.append(name)
        if len(calls) == 20:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        append(self, name, content)

    with monkeypatch.context() as full:
        full.setattr(GrowingFiles, "append", fail)
        with pytest.raises(DataError, match=r"the disk of the cache .* is full .*free some space .*goes on from there"):
            build_store(source, TOKENIZER, tmp_path / "full")
    (journal,) = (tmp_path / "full").glob("store/.*.building-kept/journal.jsonl")
    assert journal.stat().st_size
    assert files_of(build_store(source, TOKENIZER, tmp_path / "full")) == unbroken


def test_a_filter_that_leaves_nothing_says_why(tmp_path: Path) -> None:
    source = ListConfig(texts=("a", "", "b"), filter=FilterConfig(minimum_characters=5))
    with pytest.raises(DataError, match=r"left of 3 \(1 empty, 2 too short\); loosen data\.source\.filter"):
        build_store(source, TOKENIZER, tmp_path)


PEAK = """
import re, sys
from pathlib import Path
import zoo.data.cache, zoo.data.filter
from zoo.data.sources import TextConfig
from zoo.data.store import build_store
from zoo.tokenizer.train import BytesConfig

zoo.data.filter._BATCH_CHARACTERS, zoo.data.cache.BLOCK_BYTES = 1 << 14, 1 << 16  # what is held at once is small
def memory(name):
    return int(re.search(name + r":\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024
def build(name):
    source = TextConfig(path=str(Path(sys.argv[1], name)), document="line")
    build_store(source, BytesConfig().train(), Path(sys.argv[1]), num_workers=0)
build("few.txt")  # what is imported on the way does not count
Path("/proc/self/clear_refs").write_text("5")
before = memory("VmRSS")
build(sys.argv[2])
print(memory("VmHWM") - before)
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="reads what Linux says of memory")
def test_memory_stays_bounded(tmp_path: Path) -> None:
    """In a process of its own, for its peak. Texts that are held take 8 MB more, and token ids 4, of 3 MB more."""

    def peak(megabytes: int) -> int:
        (tmp_path / "few.txt").write_text("some words\n" * 1_000)
        (tmp_path / "many.txt").write_text("some words in a line of text\n" * (megabytes * 1_000_000 // 29))
        arguments = [sys.executable, "-c", PEAK, str(tmp_path), "many.txt"]
        return int(subprocess.run(arguments, check=True, capture_output=True, text=True, cwd=ROOT).stdout)

    assert peak(4) < peak(1) + 2_000_000


def test_real_novels(tmp_path: Path, shared_data: Path) -> None:
    source = JsonLinesConfig(path=str(shared_data / "eltec_eng" / "valid.jsonl.gz"), field="paragraphs")
    texts = list(source.documents())
    tokenizer = ByteLevelBPEConfig(vocab_size=2_000, training_characters=200_000).train(texts)
    store = build_store(source, tokenizer, tmp_path, sentences=True)
    assert store.num_documents == 91
    for number in (0, 45, 90):
        assert tokenizer.decode(store.tokens[store.documents[number] : store.documents[number + 1]]) == texts[number]
    assert store.sentences is not None
    assert np.all(np.diff(store.sentences) > 0)
    assert np.isin(store.documents[:-1], store.sentences).all()
