"""Texts in, JSON Lines out."""

import io
import json
import math
from pathlib import Path

import pytest

from zoo.cli.text_file import Texts, json_lines, read_records, texts_from
from zoo.errors import ConfigError, DataError, TextError


def test_lines_and_fields(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.txt").write_text("one\r\n\n two \n", encoding="utf-8")
    assert read_records(str(tmp_path / "a.txt"), "prompt") == [{"prompt": "one"}, {"prompt": " two "}]
    (tmp_path / "a.jsonl").write_text('{"a": "x", "b": "y", "c": 1}\n', encoding="utf-8")
    assert read_records(str(tmp_path / "a.jsonl"), "b", "a") == [{"b": "y", "a": "x"}]
    for text in ("one\n", '{"prompt": "one"}\n'):
        monkeypatch.setattr("sys.stdin", io.StringIO(text))
        assert read_records("-", "prompt") == [{"prompt": "one"}]


def test_a_byte_order_mark_is_no_part_of_the_first_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, content in (("a.txt", "one\n"), ("a.jsonl", '{"prompt": "one"}\n')):
        (tmp_path / name).write_text(content, encoding="utf-8-sig")
        assert read_records(str(tmp_path / name), "prompt") == [{"prompt": "one"}]
        monkeypatch.setattr("sys.stdin", io.StringIO(f"\ufeff{content}"))
        assert read_records("-", "prompt") == [{"prompt": "one"}]


def test_text_on_stdin_that_looks_like_json_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("{Chorus}\nLa la\n"))
    with pytest.raises(
        DataError, match=r"line 1: no JSON .*; stdin is JSON where its first line begins with \{.*\.txt"
    ):
        read_records("-", "prompt")


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("a.txt", "\n \n", "has no line with a text"),
        ("a.txt", "one", r"for a and b it must be \.jsonl"),
        ("a.jsonl", '{"a": "x"}', r"line 1: no text in field 'b' \(fields: 'a'\)"),
        ("a.jsonl", '{"a": "x", "b": "y"}\n{"a"', "line 2: no JSON"),
        ("a.jsonl", "[]", "a JSON object is wanted"),
        ("a.jsonl", '\n{"a": "x", "b": 3}', "line 2: field 'b' is 3, not a text"),
    ],
)
def test_mistakes_name_the_line(name: str, content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        read_records(str(tmp_path / name), "a", "b")


def test_all_lines_without_a_text_are_told_or_kept_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": "x"}\n{"b": 1}\n\n{"a"\n', encoding="utf-8")
    told = (
        r"^2 texts cannot be taken:\n  .*a\.jsonl, line 2: no text in field 'a' \(fields: 'b'\);\n  .*line 4: no JSON"
    )
    with pytest.raises(DataError, match=told):
        read_records(str(path), "a")
    texts = texts_from(None, str(path), "a", "prompt", skip=True)
    assert texts == ["x", '{"b": 1}', '{"a"']
    assert texts.unread.keys() == {1, 2}
    assert texts.place(2) == {"line": 4}
    assert texts.unread[1] == "no text in field 'a' (fields: 'b')"


def test_bytes_that_are_no_text_and_absent_files(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe")
    for name, told in (
        ("a.txt", r"not valid UTF-8 \(byte 0xff at offset 0\); .*iconv"),
        ("absent.txt", "No such file"),
    ):
        with pytest.raises(DataError, match=f"cannot read .*{told}"):
            read_records(str(tmp_path / name), "a")


def test_what_is_wrong_with_texts_is_told_with_their_lines() -> None:
    texts = Texts(["a", "b", "c"], "a.txt", [2, 4, 7])
    with pytest.raises(DataError, match=r"^a\.txt, line 4: is long$"), texts.telling():
        raise TextError("is long", 1)
    told = r"^2 texts cannot be taken:\n  a.txt, line 2: is empty;\n  a.txt, line 7: is long$"
    with pytest.raises(DataError, match=told), texts.telling():
        raise TextError("is empty", 0, [TextError("is long", 2)])
    with pytest.raises(DataError, match=r"^a\.txt, line 7: has no blank$"), texts.telling(2):
        raise TextError("has no blank")
    with (
        pytest.raises(ConfigError, match=r"text 1 of 3: is empty;\n  text 3 of 3: is long"),
        Texts(["a", "b", "c"]).telling(),
    ):
        raise TextError("is empty", 0, [TextError("is long", 2)])  # what was typed is wrong use
    with pytest.raises(DataError, match=r"^the model"), Texts(["a"]).telling():
        raise DataError("the model is damaged")


def test_one_source_of_texts() -> None:
    assert texts_from(["a"], None, None, "prompt") == ["a"]
    with pytest.raises(ConfigError, match="of which there is none"):
        texts_from(["a"], None, "prompt", "prompt")
    with pytest.raises(ConfigError, match="no prompt: write one"):
        texts_from([], None, None, "prompt")
    with pytest.raises(ConfigError, match="give one of the two"):
        texts_from(["a"], "x", None, "prompt")


def test_records_are_written_at_once_into_a_new_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "out.jsonl"
    with json_lines(str(path)) as lines:
        lines.write({"text": "é\n"})
        assert json.loads(path.read_text(encoding="utf-8")) == {"text": "é\n"}
    with json_lines("-") as lines:
        lines.write({"text": "é", "numbers": [1.5, -math.inf], "more": {"none": math.nan}})
    assert capsys.readouterr().out == '{"text": "é", "numbers": [1.5, null], "more": {"none": null}}\n'
    for name, message in ((path, "exists already"), (tmp_path / "absent" / "x", "cannot be made")):
        with pytest.raises(ConfigError, match=message), json_lines(str(name)):
            pass


def test_lines_of_text_have_no_field(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"field: 'b' names a field of \.jsonl"):
        texts_from(None, str(tmp_path / "a.txt"), "b", "prompt")


def test_what_broke_off_leaves_no_empty_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def break_off(done: int) -> None:
        with json_lines(str(tmp_path / "out")) as lines:
            for _ in range(done):
                lines.write({})
            raise DataError("no")

    for done in (0, 1):
        with pytest.raises(DataError):
            break_off(done)
        assert (tmp_path / "out").exists() == bool(done)
    assert "has what was done so far, 1 lines" in capsys.readouterr().err
