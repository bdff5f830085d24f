"""CSV and TSV: what a cell is, and what is wrong where."""

import csv
import gzip
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoo.config import build, to_mapping
from zoo.data.corpus import DataConfig  # noqa: F401  (registers the kinds)
from zoo.data.delimited import CsvConfig
from zoo.data.sources import SourceConfig
from zoo.errors import ConfigError, DataError


def texts(path: Path, **settings: object) -> list[str]:
    return list(CsvConfig(path=str(path), **settings).documents())


def test_cells_with_quotes_commas_and_line_breaks(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b'\xef\xbb\xbfid,text\r\n1,"one, ""two""\nthree"\r\n\r\n2,caf\xc3\xa9\n3,\n')
    assert texts(tmp_path / "a.csv") == ['one, "two"\nthree', "café", ""]


@given(cells=st.lists(st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\r\0"), max_size=20)))
def test_whatever_the_csv_module_writes_comes_back(tmp_path_factory: pytest.TempPathFactory, cells: list[str]) -> None:
    file = tmp_path_factory.mktemp("csv") / "a.csv"
    written = io.StringIO(newline="")
    csv.writer(written).writerows([("text", "n"), *((cell, number) for number, cell in enumerate(cells))])
    file.write_bytes(written.getvalue().encode())
    assert texts(file) == cells


def test_tabs_names_and_packed_files(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("n\ttext\n1\tone, two\n")
    (tmp_path / "b.tsv.gz").write_bytes(gzip.compress(b"text\tn\nthree\t2\n"))
    (tmp_path / "c.csv").write_text("text;n\nfour, five;3\n")
    assert texts(tmp_path / "*.tsv*") == ["one, two", "three"]
    assert texts(tmp_path / "c.csv", delimiter=";") == ["four, five"]
    assert texts(tmp_path / "c.csv", delimiter=";", columns=("body", "n"), column="body") == ["text", "four, five"]


def test_a_cell_may_be_larger_than_the_csv_module_allows_by_itself(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(f"text\n{'x' * 1_000_000}\n")
    assert [len(text) for text in texts(tmp_path)] == [1_000_000]


@pytest.mark.parametrize(
    "content, message",
    [
        ("a,b\n1,2\n", r"a\.csv, line 1: unknown column 'text' \(legal: a, b\)"),
        ("id,texts\n1,2\n", r"unknown column 'text'; did you mean 'texts'"),
        ("text,text\n1,2\n", "column 'text' is there 2 times"),
        ("id,text\n1,fine\n2,not, quoted\n", r"line 3: has 3 cells, but the table has 2 columns \('id', 'text'\)"),
        ('id,text\n1,"a\nb"\n2\n', "line 4: has 1 cells"),
        ('id,text\n1,"never closed\n2,x\n', "line 2: unexpected end of data; is a quote not closed"),
        ('id,text\n1,"a"b\n', "line 2: .* is a quote not closed, or not doubled"),
        ("", "a.csv is empty: its first line must name the columns"),
        ("id;text\n1;a\n", r"line 1: unknown column 'text'.*; cells end at ',' \(data\.source\.delimiter\)"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "a.csv").write_text(content)
    with pytest.raises(DataError, match=message):
        texts(tmp_path)


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"text\nfine\nbad \xff\n")
    with pytest.raises(DataError, match=r"a\.csv is not valid UTF-8: byte 0xff at offset 14"):
        texts(tmp_path)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"delimiter": ""}, "delimiter: '' must be one character"),
        ({"delimiter": '"'}, "delimiter: .* must be one character, and neither a quote"),
        ({"columns": ["a", "b"]}, "column: the table unknown column 'text'"),
        ({"columns": ["text", "text"]}, "column: .* is there 2 times"),
        ({"field": "text"}, "field: unknown csv source key"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(SourceConfig, {"kind": "csv", "path": "x", **settings})


def test_the_fingerprint_is_of_content_and_settings(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv", "c.tsv"):
        (tmp_path / name).write_text("text\nx\n")
    a, b, c = (CsvConfig(path=str(tmp_path / name)).fingerprint() for name in ("a.csv", "b.csv", "c.tsv"))
    assert a == b
    assert len({a, c, CsvConfig(path=str(tmp_path / "a.csv"), columns=("text",)).fingerprint()}) == 3


def test_config_survives_writing() -> None:
    config = CsvConfig(path="a", columns=("text", "n"), delimiter="\t")
    assert build(SourceConfig, to_mapping(config)) == config
