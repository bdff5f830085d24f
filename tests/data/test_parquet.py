"""Documents of Parquet files."""

import os
from pathlib import Path

import pytest

from zoo.config import build, to_mapping
from zoo.data import parquet as module
from zoo.data.parquet import ParquetConfig
from zoo.data.sources import SourceConfig
from zoo.errors import ConfigError, DataError

pyarrow = pytest.importorskip("pyarrow", reason="an extra: transformer-zoo[datasets]")
from pyarrow import parquet  # noqa: E402


def write(path: Path, **columns: list) -> Path:
    path.parent.mkdir(exist_ok=True)
    parquet.write_table(pyarrow.table(columns), path, row_group_size=3)
    return path


def texts(path: Path, column: str = "text") -> list[str]:
    return list(ParquetConfig(path=str(path), column=column).documents())


def test_files_folders_and_globs(tmp_path: Path) -> None:
    write(tmp_path / "b.parquet", id=[1, 2], text=["three", None])
    write(tmp_path / "deep" / "c.parquet", text=["four"], id=[0])
    write(tmp_path / "a.parquet", text=["one", "two"])
    (tmp_path / "readme.txt").write_text("not one of them")
    assert texts(tmp_path / "b.parquet") == ["three", ""]
    assert texts(tmp_path) == ["one", "two", "three", "", "four"]
    assert texts(tmp_path / "[ab].*") == ["one", "two", "three", ""]


def test_paragraphs_are_joined(tmp_path: Path) -> None:
    assert texts(write(tmp_path / "a.parquet", text=[["one", "two"], ["three"]])) == ["one\n\ntwo", "three"]


def test_batches_and_row_groups_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = [f"document {number}" for number in range(20)]
    path = write(tmp_path / "a.parquet", text=written, number=list(range(20)))
    monkeypatch.setattr(module, "BATCH_ROWS", 7)
    assert texts(path) == written


def test_a_row_group_is_not_taken_in_whole(tmp_path: Path) -> None:
    written = [os.urandom(500).hex() for _ in range(20_000)]
    path = tmp_path / "a.parquet"
    parquet.write_table(pyarrow.table({"text": written}), path, row_group_size=20_000, use_dictionary=False)
    assert path.stat().st_size > 10_000_000
    before, most = pyarrow.total_allocated_bytes(), 0
    for number, text in enumerate(ParquetConfig(path=str(path)).documents()):
        assert text == written[number]
        most = max(most, pyarrow.total_allocated_bytes() - before)
    assert most < 8_000_000


def test_the_size_is_that_of_the_column(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", text=["x" * 10_000], text2=["y" * 1_000_000])
    size = ParquetConfig(path=str(path)).size()
    assert 10_000 <= size < 20_000


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", id=[1], texts=["x"])
    with pytest.raises(DataError, match=r"a\.parquet: unknown column 'text'; did you mean 'texts'"):
        texts(path)
    with pytest.raises(DataError, match=r"a\.parquet, row 1: the column must hold text or lists of texts, not int64"):
        texts(path, "id")
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(DataError, match=r"cannot read .*a\.parquet: "):
        texts(path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"ends in \.parquet; files"):
        texts(tmp_path / "empty")


def test_a_row_far_into_the_file_is_counted_from_its_beginning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH_ROWS", 2)
    broken = pyarrow.array([b"fine"] * 4 + [b"bad \xff"]).view(pyarrow.string())
    parquet.write_table(pyarrow.table({"text": broken}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"a\.parquet, row 5: is not valid UTF-8"):
        texts(tmp_path)


def test_settings() -> None:
    config = ParquetConfig(path="a", column="body")
    assert build(SourceConfig, to_mapping(config)) == config
    for settings, message in (({"path": ""}, "path: must name"), ({"path": "a", "column": ""}, "column: must name")):
        with pytest.raises(ConfigError, match=message):
            build(SourceConfig, {"kind": "parquet", **settings})


def test_the_fingerprint_is_of_content_and_settings(tmp_path: Path) -> None:
    one, two = write(tmp_path / "one.parquet", text=["x"]), write(tmp_path / "two.parquet", text=["x"])
    assert ParquetConfig(path=str(one)).fingerprint() == ParquetConfig(path=str(two)).fingerprint()
    before = ParquetConfig(path=str(two)).fingerprint()
    write(two, text=["y"])
    assert ParquetConfig(path=str(two)).fingerprint() != before
    assert ParquetConfig(path=str(two), column="z").fingerprint() != ParquetConfig(path=str(two)).fingerprint()
