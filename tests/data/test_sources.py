"""Documents of text and JSON-lines files."""

import gzip
import json
from pathlib import Path

import pytest

from zoo.config import build, to_mapping
from zoo.data import sources, stdlib  # noqa: F401
from zoo.data.sources import JsonLinesConfig, SourceConfig, TextConfig
from zoo.errors import ConfigError, DataError


@pytest.mark.parametrize(
    "document, expected",
    [
        ("file", ["one\ntwo\r\n\n  \n\nthree\n"]),
        ("line", ["one", "two", "", "  ", "", "three"]),
        ("blank_line", ["one\ntwo", "three"]),
    ],
)
def test_what_a_document_is(tmp_path: Path, document: str, expected: list[str]) -> None:
    (tmp_path / "a.txt").write_bytes(b"one\ntwo\r\n\n  \n\nthree\n")
    assert list(TextConfig(path=str(tmp_path), document=document).documents()) == expected


def test_a_line_that_begins_a_document(tmp_path: Path) -> None:
    """As in WikiText, where sections have two marks and articles one."""
    text = "before\n = A = \n \n one , = two\n = = Part = = \n three\n = B = \r\n four"
    (tmp_path / "a.txt").write_bytes(text.encode())
    (tmp_path / "b.txt").write_bytes(b" = C = \n")
    source = TextConfig(path=str(tmp_path), document_start="^ = [^=].* = $|^ = C")
    documents = list(source.documents())
    assert "".join(documents) == text + " = C = \n", "nothing is lost"
    assert [document.split("\n")[0] for document in documents[1:]] == [" = A = ", " = B = \r", " = C = "]


def test_wikitext_has_the_articles_that_its_readme_says(shared_data: Path) -> None:
    source = TextConfig(path=str(shared_data / "wikitext2" / "wiki.valid.tokens.gz"), document_start="^ = [^=]")
    documents = list(source.documents())
    assert len(documents) == 61  # about 60, and the blank line before the first
    assert documents[1].startswith(" = Homarus gammarus = \n")


def test_json_lines(tmp_path: Path) -> None:
    records = [{"text": "café", "n": 1}, {"text": ["one", "two"]}, {"text": ""}]
    content = "\n".join([*map(json.dumps, records), "", "  "])
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(content.encode()))
    source = JsonLinesConfig(path=str(tmp_path))
    assert list(source.documents()) == ["café", "one\n\ntwo", ""]
    assert source.size() == len(content.encode())


@pytest.mark.parametrize(
    "line, message",
    [
        ("{broken", r"a\.jsonl, line 2: this is no JSON"),
        ("[1]", r"a\.jsonl, line 2: must be a JSON object, not list"),
        ('{"body": "x"}', r"line 2: has no field 'text' \(fields: 'body'\)"),
        ('{"text": 7}', "line 2: field 'text' must hold text or a list of texts, not 7"),
        ('{"text": null}', "line 2: field 'text' must hold text"),
        ('{"text": "a\\ud800b"}', "line 2: character 1 is half of a surrogate pair"),
        ("[" * 100_000, "line 2: this is no JSON"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "a.jsonl").write_text(f'{{"text": "fine"}}\n{line}\n')
    with pytest.raises(DataError, match=message):
        list(JsonLinesConfig(path=str(tmp_path / "a.jsonl")).documents())


def test_the_fingerprint_changes_with_a_byte_and_with_a_setting_but_not_with_the_place(tmp_path: Path) -> None:
    for name, text in (("a", "some text"), ("b", "some text"), ("c", "some tent")):
        (tmp_path / f"{name}.txt").write_text(text)
    a, b, c = (TextConfig(path=str(tmp_path / f"{name}.txt")) for name in "abc")
    assert a.fingerprint() == b.fingerprint() != c.fingerprint()
    assert TextConfig(path=a.path, document="line").fingerprint() != a.fingerprint()
    begun = [TextConfig(path=a.path, document_start=pattern).fingerprint() for pattern in (None, "some", "text")]
    assert begun[0] == a.fingerprint()
    assert len(set(begun)) == 3
    assert JsonLinesConfig(path=a.path).fingerprint() != JsonLinesConfig(path=a.path, field="body").fingerprint()


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"kind": "text"}, "path: is required"),
        ({"kind": "text", "path": " "}, "path: must name a file"),
        ({"kind": "text", "path": "x", "document": "page"}, "document: 'page' is not one of file, line, blank_line"),
        (
            {"kind": "text", "path": "x", "document_start": "(a"},
            r"document_start: '\(a' is no regular expression: miss",
        ),
        (
            {"kind": "text", "path": "x", "document_start": "a", "document": "line"},
            "document_start: 'a' divides files and goes with document=file, not with 'line'",
        ),
        ({"kind": "jsonl", "path": "x", "field": ""}, "field: must name a field"),
        ({"kind": "json"}, "unknown source .*'json'; did you mean 'jsonl'"),
        ({"kind": "stdlib", "path": "x"}, "path: unknown .*legal: filter, kind, parts"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(SourceConfig, settings)


def test_configs_survive_writing() -> None:
    for config in (TextConfig(path="a"), JsonLinesConfig(path="b", field="body")):
        assert build(SourceConfig, to_mapping(config)) == config


def test_real_files(shared_data: Path) -> None:
    (text,) = TextConfig(path=str(shared_data / "tinyshakespeare" / "input.txt")).documents()
    assert len(text) == 1_115_394
    novels = JsonLinesConfig(path=str(shared_data / "eltec_eng" / "valid*.gz"), field="paragraphs")
    chapters = list(novels.documents())
    assert len(chapters) == 91
    assert 990_000 < sum(map(len, chapters)) < 1_010_000
    articles = TextConfig(path=str(shared_data / "wikitext2" / "wiki.valid.tokens.gz"), document="line")
    assert len(list(articles.documents())) == 3_760
