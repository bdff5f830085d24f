"""From settings to documents in tokens; each stop is found again."""

import errno
from pathlib import Path

import numpy as np
import pytest

from zoo.config import Source, load_config, to_mapping
from zoo.data import corpus as module
from zoo.data.corpus import DataConfig, cache_folder, find_or_train, load_corpus
from zoo.data.sources import TextConfig
from zoo.data.stdlib import StdlibConfig
from zoo.errors import ConfigError, DataError
from zoo.tokenizer.train import ByteLevelBPEConfig, CharactersConfig, FileConfig, WordPieceConfig


@pytest.fixture
def data(tmp_path: Path) -> DataConfig:
    (tmp_path / "a.txt").write_text("".join(f"Line {number}. A second sentence\n" for number in range(100)))
    source = TextConfig(path=str(tmp_path / "a.txt"), document="line")
    return DataConfig(source=source, validation_fraction=0.2, cache=str(tmp_path / "cache"))


def test_made_once_and_found_again(data: DataConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load_corpus(data, WordPieceConfig(vocab_size=200), sentences=True)
    assert (len(first.training.starts), len(first.validation.starts)) == (80, 20)
    assert first.validation.sentences is not None
    assert len(first.validation.sentences) == 40
    monkeypatch.setattr(TextConfig, "documents", None)  # reading the corpus would fail now
    again = load_corpus(data, WordPieceConfig(vocab_size=200), sentences=True)
    assert again.tokenizer.fingerprint == first.tokenizer.fingerprint
    for one, other in zip(first[1:3], again[1:3], strict=True):
        assert one.fingerprint == other.fingerprint
        assert np.array_equal(one.starts, other.starts)


def test_a_tokenizer_from_a_file_is_neither_trained_nor_kept(data: DataConfig, tmp_path: Path) -> None:
    trained = find_or_train(data, ByteLevelBPEConfig(vocab_size=300))
    trained.save(tmp_path / "mine")
    opened = load_corpus(data, FileConfig(path=str(tmp_path / "mine"))).tokenizer
    assert opened.fingerprint == trained.fingerprint
    assert len([path for path in (tmp_path / "cache" / "tokenizer").iterdir() if path.is_dir()]) == 1


def test_a_damaged_tokenizer_in_the_cache_is_trained_again(data: DataConfig, caplog: pytest.LogCaptureFixture) -> None:
    before = find_or_train(data, CharactersConfig())
    (path,) = cache_folder(data).glob("tokenizer/*/tokenizer.json")
    path.write_bytes(b"\x00\x01\x02")
    assert find_or_train(data, CharactersConfig()).fingerprint == before.fingerprint
    assert "tokenizer.json" in caplog.text


def test_tokenizer_that_the_disk_has_no_space_for_is_said_with_what_to_do(
    data: DataConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(DataError, match=r"the disk of the cache .* is full .*: free some space for the tokenizer"):
        find_or_train(data, CharactersConfig())


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert cache_folder(DataConfig(cache="here")) == Path("here")
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path))
    assert cache_folder(DataConfig()) == tmp_path
    monkeypatch.delenv("ZOO_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder(DataConfig()) == tmp_path / "transformer-zoo"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder(DataConfig()) == Path.home() / ".cache" / "transformer-zoo"


def test_tokenizer_and_store_see_what_the_filter_leaves(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a\u0301 short\nshort\na\u0301 short\nlong enough z\n" * 2, encoding="utf-8")
    text = {"kind": "text", "path": str(tmp_path / "a.txt"), "document": "line"}

    def load(**filter: object) -> module.Corpus:
        source = Source(
            "test", {"source": {**text, "filter": filter}, "validation_fraction": 0, "cache": str(tmp_path)}
        )
        return load_corpus(load_config(DataConfig, [source]).config, CharactersConfig())

    tokenizer, training, _, stores = load(normalization="NFC", minimum_characters=6, deduplicate=True)
    assert [tokenizer.decode(training.tokens[a:b]) for a, b in zip(training.starts, training.stops, strict=True)] == [
        "á short",
        "long enough z",
    ]
    assert "\u0301" not in {tokenizer.token(id) for id in range(tokenizer.vocab_size)}
    assert (stores[""].num_read, stores[""].dropped["too_short"], stores[""].dropped["duplicate"]) == (8, 2, 4)
    plain = load()
    assert plain.stores[""].num_documents == 8
    assert plain.tokenizer.fingerprint != tokenizer.fingerprint
    assert len({load(deduplicate=True).training.fingerprint, load(minimum_characters=6).training.fingerprint}) == 2


def test_settings(tmp_path: Path) -> None:
    assert DataConfig().source == StdlibConfig()
    resolved = load_config(DataConfig, [Source("file", {"source": {"kind": "text", "path": "x"}})]).config
    no_filter = {"normalization": "none", "minimum_characters": 1, "deduplicate": False}
    expected = {"kind": "text", "share": None, "filter": no_filter, "path": "x", "document": "file"}
    expected["document_start"] = None
    assert to_mapping(resolved)["source"] == expected
    for fraction in (1.0, -0.5, float("nan")):
        with pytest.raises(ConfigError, match="validation_fraction"):
            DataConfig(validation_fraction=fraction)


def test_errors_name_the_setting_or_the_file(data: DataConfig, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"tokenizer\.vocab_size: 20 is too small"):
        load_corpus(data, WordPieceConfig(vocab_size=20))
    with pytest.raises(DataError, match=r"gone\.txt"):
        load_corpus(DataConfig(source=TextConfig(path="gone.txt"), cache=data.cache), CharactersConfig())
    (tmp_path / "empty.txt").write_text("")
    with pytest.raises(DataError, match="no text to train a tokenizer on"):
        load_corpus(
            DataConfig(source=TextConfig(path=str(tmp_path / "empty.txt")), cache=data.cache), CharactersConfig()
        )
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"data\.cache or \$ZOO_CACHE"):
        load_corpus(DataConfig(source=data.source, cache=str(tmp_path / "file")), CharactersConfig())


def test_nanogpts_setting_of_tinyshakespeare(shared_data: Path, tmp_path: Path) -> None:
    source = TextConfig(path=str(shared_data / "tinyshakespeare" / "input.txt"))
    data = DataConfig(source=source, validation_fraction=0.1, cache=str(tmp_path))
    tokenizer, training, validation, _ = load_corpus(data, CharactersConfig())
    assert tokenizer.vocab_size == 66
    assert (training.starts.tolist(), training.stops.tolist()) == ([0], [1_003_854])
    assert (validation.starts.tolist(), validation.stops.tolist()) == ([1_003_854], [1_115_394])
    text = (shared_data / "tinyshakespeare" / "input.txt").read_text()
    assert tokenizer.decode(validation.tokens[1_003_854:]) == text[1_003_854:]


def test_the_file_reads_as_the_contract_says() -> None:
    assert module.Corpus._fields == ("tokenizer", "training", "validation", "stores")
