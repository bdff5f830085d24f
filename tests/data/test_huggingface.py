"""Data sets of the hub. None can be reached from a test: these are folders, and a hub that is not there."""

import contextlib
import itertools
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from zoo.config import build, to_mapping
from zoo.data import huggingface as module
from zoo.data.corpus import DataConfig, load_corpus
from zoo.data.encoding import Encoder
from zoo.data.huggingface import HuggingFaceConfig
from zoo.data.sources import SourceConfig
from zoo.data.store import build_store
from zoo.errors import ConfigError, DataError
from zoo.tokenizer.train import BytesConfig

pyarrow = pytest.importorskip("pyarrow", reason="an extra: transformer-zoo[datasets]")
datasets = pytest.importorskip("datasets", reason="an extra: transformer-zoo[datasets]")
from pyarrow import parquet  # noqa: E402


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whoever opens a connection fails the test."""

    def refuse(*arguments: object, **more: object) -> None:
        pytest.fail(f"the network was asked: {arguments[1:]}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "hub"))
    module._opened_once.cache_clear()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data set of two splits, the first in two files."""
    place = tmp_path / "set" / "data"
    place.mkdir(parents=True)
    for number in range(2):
        texts = [f"train {number} {row}" for row in range(600)]
        table = pyarrow.table({"id": list(range(600)), "text": texts})
        parquet.write_table(table, place / f"train-0000{number}-of-00002.parquet")
    parquet.write_table(pyarrow.table({"id": [1, 2], "text": ["one", None]}), place / "test-00000-of-00001.parquet")
    return tmp_path / "set"


def texts(folder: Path, **settings: object) -> list[str]:
    return list(HuggingFaceConfig(dataset=str(folder), **settings).documents())


def test_a_folder_is_read_split_by_split(folder: Path) -> None:
    assert texts(folder) == [f"train {number} {row}" for number in range(2) for row in range(600)]
    assert texts(folder, split="test") == ["one", ""]


def test_limits(folder: Path) -> None:
    assert texts(folder, max_documents=3) == ["train 0 0", "train 0 1", "train 0 2"]
    assert texts(folder, max_characters=10) == ["train 0 0", "train 0 1"]
    assert texts(folder, max_documents=1, max_characters=10) == ["train 0 0"]


def test_configurations_of_the_card(folder: Path) -> None:
    card = (
        "---\nconfigs:\n- config_name: a\n  data_files: data/test*\n- config_name: b\n  data_files: data/train*\n---\n"
    )
    (folder / "README.md").write_text(card)
    assert texts(folder, config="a") == ["one", ""]
    assert len(texts(folder, config="b")) == 1200
    with pytest.raises(DataError, match=r"cannot open the data set .*: .*'a', 'b'"):
        texts(folder, config="c")


@pytest.mark.parametrize(
    "name, content", [("a.jsonl", json.dumps({"text": "x"})), ("a.csv", "text\nx\n"), ("a.txt", "x\n")]
)
def test_other_formats(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / name).write_text(content)
    assert texts(tmp_path / "set") == ["x"]


def test_a_run_reads_the_store_and_no_stream(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    data = DataConfig(source=HuggingFaceConfig(dataset=str(folder)), cache=str(tmp_path / "cache"))
    first = load_corpus(data, BytesConfig())
    monkeypatch.setattr(HuggingFaceConfig, "documents", None)  # reading the stream would fail now
    assert load_corpus(data, BytesConfig()).training.fingerprint == first.training.fingerprint
    assert first.stores[""].num_documents == 1200


@pytest.mark.parametrize("limits", [{}, {"max_documents": 1_000}])
def test_stopped_in_the_middle_it_goes_on_behind_the_last_finished_shard(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limits: dict
) -> None:
    monkeypatch.setattr("zoo.data.filter._BATCH_DOCUMENTS", 50)
    monkeypatch.setattr("zoo.data.store._SHARD_BATCHES", 2)
    source, tokenizer = HuggingFaceConfig(dataset=str(folder), **limits), BytesConfig().train()
    unbroken = build_store(source, tokenizer, tmp_path / "unbroken", num_workers=0)
    stream, encode, encoded = HuggingFaceConfig._stream, Encoder.encode, []

    def stopped(self: HuggingFaceConfig) -> Iterator[str]:
        yield from itertools.islice(stream(self), 700)
        raise KeyboardInterrupt

    monkeypatch.setattr(HuggingFaceConfig, "_stream", stopped)
    with pytest.raises(KeyboardInterrupt):
        build_store(source, tokenizer, tmp_path / "stopped", num_workers=0)
    monkeypatch.setattr(HuggingFaceConfig, "_stream", stream)
    monkeypatch.setattr(Encoder, "encode", lambda self, *batch: encoded.extend(batch[1]) or encode(self, *batch))
    resumed = build_store(source, tokenizer, tmp_path / "stopped", num_workers=0)
    assert resumed.num_read == unbroken.num_read == limits.get("max_documents", 1_200)
    first = min(encoded)
    assert 400 <= first <= 700
    assert first % 100 == 0
    assert sorted(encoded) == list(range(first, resumed.num_read))
    for name in ("tokens", "documents", "keys"):
        assert np.array_equal(getattr(resumed, name), getattr(unbroken, name))


def test_the_fingerprint_is_of_the_files_of_the_split_and_the_settings(folder: Path) -> None:
    def fingerprint(**settings: object) -> str:
        return HuggingFaceConfig(dataset=str(folder), **settings).fingerprint()

    before = fingerprint()
    changes = ({"split": "test"}, {"column": "id"}, {"max_documents": 5}, {"max_characters": 5})
    assert len({before, *(fingerprint(**change) for change in changes)}) == 5
    test = folder / "data" / "test-00000-of-00001.parquet"
    parquet.write_table(pyarrow.table({"id": [1], "text": ["other"]}), test)
    assert fingerprint() == before, "another split is another text"
    moved = folder.rename(folder.with_name("moved"))
    assert HuggingFaceConfig(dataset=str(moved)).fingerprint() == before, "its place does not matter"
    parquet.write_table(pyarrow.table({"id": [1], "text": ["new"]}), moved / "data" / "train-00001-of-00002.parquet")
    assert HuggingFaceConfig(dataset=str(moved)).fingerprint() != before


def test_what_is_wrong_is_named(folder: Path) -> None:
    with pytest.raises(
        DataError, match=r"split train: unknown column 'txt'; did you mean 'text'\? \(legal: id, text\)"
    ):
        texts(folder, column="txt")
    with pytest.raises(DataError, match=r"row 1: the column must hold text or lists of texts, not int64"):
        texts(folder, column="id")
    with pytest.raises(DataError, match=r"unknown split 'trian'; did you mean 'train'\? \(legal: test, train\)"):
        texts(folder, split="trian")
    with pytest.raises(DataError, match=r"no folder at .*gone"):
        texts(folder / "gone")
    broken = folder / "data" / "train-00001-of-00002.parquet"
    broken.write_bytes(broken.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"cannot read .*, split train: "):
        texts(folder)


@pytest.mark.parametrize(
    "files", ["https://example.org/a.csv", "../secret.csv", "/etc/passwd", "hf://datasets/a/b/c.csv"]
)
@pytest.mark.parametrize("name, card", [("README.md", "---\n{}\n---\nwords\n"), (".huggingface.yaml", "{}\n")])
def test_a_folder_may_not_name_files_elsewhere(folder: Path, name: str, card: str, files: str) -> None:
    (folder.parent / "secret.csv").write_text("text\nsecret\n")
    inside = f"configs: [{{config_name: a, data_files: [{{split: train, path: '{files}'}}]}}]"
    (folder / name).write_text(card.format(inside))
    for ask in (texts, lambda place: HuggingFaceConfig(dataset=str(place)).fingerprint()):
        with pytest.raises(DataError, match="names files outside"):
            ask(folder)


def test_a_link_out_of_the_folder_is_refused(folder: Path) -> None:
    file = folder / "data" / "train-00000-of-00002.parquet"
    file.rename(folder.parent / "secret.parquet")
    file.symlink_to(folder.parent / "secret.parquet")
    for ask in (texts, lambda place: HuggingFaceConfig(dataset=str(place)).fingerprint()):
        with pytest.raises(DataError, match="is outside"):
            ask(folder)


def test_scripts_are_not_executed(folder: Path) -> None:
    (folder / "set.py").write_text(f"open({str(folder / 'executed')!r}, 'w')")
    with contextlib.suppress(DataError):  # refusing is as good as overlooking it
        texts(folder)
    assert not (folder / "executed").exists()


def test_a_hub_out_of_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    with pytest.raises(
        DataError, match=r"cannot open the data set owner/name of the hub \(a folder would be .*\): .*Offline"
    ):
        list(HuggingFaceConfig(dataset="owner/name").documents())


def test_what_was_fetched_before_is_found_without_a_network(
    monkeypatch: pytest.MonkeyPatch, folder: Path, tmp_path: Path
) -> None:
    """`datasets` keeps what it has fetched under the name of the data set; here a folder of that name stands for it."""
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    datasets.load_dataset(str(folder))
    (tmp_path / "hub" / "set").rename(tmp_path / "hub" / "owner___set")
    source = HuggingFaceConfig(dataset="owner/set")
    assert list(source.documents()) == texts(folder)
    assert source.fingerprint() == HuggingFaceConfig(dataset="owner/set").fingerprint()
    commit = module._opened_once("owner/set", None, None).hash
    assert len(list(HuggingFaceConfig(dataset="owner/set", revision=commit).documents())) == 1200
    with pytest.raises(DataError, match=rf"is commit {commit}, which may not be revision v2"):
        list(HuggingFaceConfig(dataset="owner/set", revision="v2").documents())


class Fetched:
    """A builder as `datasets` gives it for what was fetched before."""

    hash = "c0ffee"


def test_what_was_fetched_before_must_be_the_revision(monkeypatch: pytest.MonkeyPatch) -> None:
    Fetched.__module__ = "datasets.packaged_modules.cache.cache"
    monkeypatch.setattr(datasets, "load_dataset_builder", lambda *arguments, **more: Fetched())
    assert module._opened("owner/name", None, None).hash == "c0ffee"
    assert module._opened("owner/name", None, "c0ffee").hash == "c0ffee"
    with pytest.raises(DataError, match="is commit c0ffee, which may not be revision v2; name that commit"):
        module._opened("owner/name", None, "v2")


def test_a_folder_by_the_name_of_a_data_set_is_not_taken_for_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    with pytest.raises(DataError, match=r"'set' is a folder here as well as a name of the hub; write \./set"):
        list(HuggingFaceConfig(dataset="set").documents())
    assert len(list(HuggingFaceConfig(dataset="./set").documents())) == 1200


@pytest.mark.parametrize(
    "settings, message",
    [
        ({}, "dataset: is required"),
        ({"dataset": "a/b/c"}, "dataset: 'a/b/c' is neither a name on the hub"),
        ({"dataset": "https://hub/a"}, "dataset: .* is neither a name on the hub"),
        ({"dataset": "./a", "revision": "main"}, r"revision: 'main' has no effect: \./a is a folder"),
        ({"dataset": "a", "split": ""}, "split: must name a split"),
        ({"dataset": "a", "max_documents": 0}, "max_documents: 0 must be at least 1"),
        ({"dataset": "a", "trust_remote_code": True}, "trust_remote_code: unknown huggingface source key"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(SourceConfig, {"kind": "huggingface", **settings})


def test_config_survives_writing() -> None:
    config = HuggingFaceConfig(dataset="owner/name", config="en", revision="v1", max_documents=10)
    assert build(SourceConfig, to_mapping(config)) == config
