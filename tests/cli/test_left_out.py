"""Texts that a model cannot take."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.cli.tiny import Command, Workshop
from zoo.cli.left_out import Taken, take
from zoo.cli.text_file import Texts
from zoo.errors import ConfigError, DataError, TextError
from zoo.loading import load

LINES = ("Return a list", "x" * 60, "The length", "y" * 70)


def short(texts: Sequence[str]) -> "list[str]":
    """What works on texts of three characters at most."""
    wrong = [TextError("is long", number) for number, text in enumerate(texts) if len(text) > 3]
    if len(texts) == 1 and wrong:
        raise TextError("is long")
    if wrong:
        raise TextError(wrong[0].reason, wrong[0].number, wrong[1:])
    return [text.upper() for text in texts]


def taken(texts: Texts, skip: bool) -> Taken[list[str]]:
    return take(texts, skip, lambda numbers: short([texts[number] for number in numbers]))


def test_those_that_can_be_taken_are_worked_on(capsys: pytest.CaptureFixture[str]) -> None:
    texts = Texts(["long", "a", "b", "longer"], "a.txt", [1, 3, 4, 9])
    assert taken(texts, True) == Taken(["A", "B"], [1, 2], {0: "is long", 3: "is long"})
    assert capsys.readouterr().err == "note: left out a.txt, line 1: is long\nnote: left out a.txt, line 9: is long\n"
    with pytest.raises(DataError, match=r"^2 texts cannot be taken:\n  a.txt, line 1: is long;\n  a.txt, line 9: is"):
        taken(texts, False)
    assert taken(Texts(["a"]), False) == taken(Texts(["a"]), True) == Taken(["A"], [0], {})


def test_none_that_can_be_taken_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DataError, match="none of 2 texts can be taken"):
        taken(Texts(["long", "longer"]), True)
    assert capsys.readouterr().err == "note: left out text 1 of 2: is long\nnote: left out text 2 of 2: is long\n"
    with pytest.raises(DataError, match="none of 1 texts can be taken"):
        taken(Texts(["long"]), True)
    with pytest.raises(ConfigError, match=r"^is long$"):
        taken(Texts(["long"]), False)


def test_lines_that_could_not_be_read_are_left_out_first(capsys: pytest.CaptureFixture[str]) -> None:
    texts = Texts(["{", "a", "long"], "a.jsonl", [1, 3, 4], {0: "no JSON"})
    assert taken(texts, True) == Taken(["A"], [1], {0: "no JSON", 2: "is long"})
    assert capsys.readouterr().err == (
        "note: left out a.jsonl, line 1: no JSON\nnote: left out a.jsonl, line 4: is long\n"
    )
    with pytest.raises(DataError, match="none of 1 texts can be taken"):
        taken(Texts(["{"], "a.jsonl", [1], {0: "no JSON"}), True)


@pytest.mark.parametrize("verb", ["score", "generate", "fill"])
def test_a_line_that_is_too_long_does_not_stop_the_others(
    workshop: Workshop, command: Command, tmp_path: Path, verb: str
) -> None:
    lines = [f"{line} [MASK]" for line in LINES] if verb == "fill" else list(LINES)
    family = "encoder" if verb == "fill" else "decoder"
    (tmp_path / "texts.txt").write_text("\n".join(lines), encoding="utf-8")
    arguments = (verb, f"runs/tiny-{family}", "--file", tmp_path / "texts.txt", "--output", tmp_path / "out.jsonl")
    status, out, err = command(*arguments)
    assert (status, out) == (1, "")
    assert "2 texts cannot be taken" in err
    assert "texts.txt, line 2: the text has" in err
    assert "texts.txt, line 4: the text has" in err
    assert not (tmp_path / "out.jsonl").exists()

    status, out, err = command(*arguments, "--skip-invalid")
    assert (status, out) == (0, "")
    assert [line.split(": the text has")[0] for line in err.splitlines()[:2]] == [
        f"note: left out {tmp_path / 'texts.txt'}, line {line}" for line in (2, 4)
    ]
    records = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [record["line"] for record in records] == [1, 2, 3, 4]
    assert [("error" in record) for record in records] == [False, True, False, True]
    assert records[1].keys() == {"line", "prompt" if verb == "generate" else "text", "error"}
    assert records[1]["error"].startswith("the text has ")
    model = load(f"runs/tiny-{family}")
    if verb == "score":
        assert records[2]["total"] == pytest.approx(model.score(lines[2]).total)
    elif verb == "generate":
        assert records[2]["text"] == model.generate([lines[0], lines[2]])[1]
    else:
        assert records[2]["filled"] == model.fill(lines[2]).text
    shown = command(*arguments[:4], "--skip-invalid")
    assert shown.status == 0
    assert "Return a list" in shown.out.replace("return", "Return")
    assert "xxx" not in shown.out
