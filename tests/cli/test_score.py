"""`zoo score`."""

import json
from pathlib import Path

import pytest

from tests.cli.tiny import Command, Workshop
from zoo.loading import load

TEXTS = ["Return a list of words.", "The length", "x"]


def test_a_table_of_what_texts_are_worth(workshop: Workshop, command: Command) -> None:
    status, out, err = command("score", "runs/tiny-decoder", *TEXTS)
    assert status == 0
    assert err.startswith("note: 'x' is one token")
    scores = load("runs/tiny-decoder").score(TEXTS)
    rows = [line.split() for line in out.splitlines() if line.strip()][-3:]
    for row, score in zip(rows[:2], scores, strict=False):
        assert row[-5:] == [
            str(len(score.tokens)),
            *(f"{number:,.4f}" for number in (score.total, score.mean, score.perplexity, score.bits_per_byte)),
        ]
    assert rows[2] == ["x", "0", "0.0000"]  # its only token stands behind nothing


@pytest.mark.parametrize("family", ["encoder", "decoder", "encoder_decoder"])
def test_pairs_of_a_file_into_json_lines(workshop: Workshop, command: Command, family: str, tmp_path: Path) -> None:
    pairs = [("Return a", " list"), ("The length of", " a text")]
    file = tmp_path / "pairs.jsonl"
    file.write_text("\n".join(json.dumps(dict(zip("qa", pair, strict=True))) for pair in pairs), encoding="utf-8")
    arguments = ("--file", file, "--field", "q", "--continuation-field", "a", "--output", "-")
    status, out, err = command("score", f"runs/tiny-{family}", *arguments)
    assert (status, err) == (0, "")
    model = load(f"runs/tiny-{family}")
    expected = model.score(*map(list, zip(*pairs, strict=True)))
    for line, (question, answer), score in zip(out.splitlines(), pairs, expected, strict=True):
        record = json.loads(line)
        assert (record["text"], record["continuation"], record["tokens"]) == (question, answer, score.tokens)
        assert record["log_probabilities"] == pytest.approx(score.log_probabilities)
        assert record["total"] == pytest.approx(score.total)
        assert len(record["pieces"]) == len(score.tokens)


def test_a_continuation_on_the_command_line(workshop: Workshop, command: Command) -> None:
    out = command("score", "runs/tiny-decoder", "Return a", "--continuation", " list", "--output", "-").out
    assert json.loads(out)["tokens"] == load("runs/tiny-decoder").score("Return a", " list").tokens


def test_a_table_says_what_a_continuation_stands_behind_and_what_is_pseudo(
    workshop: Workshop, command: Command
) -> None:
    out = command("score", "runs/tiny-encoder", "a list", "a text", "--continuation", " of").out
    assert "pseudo-log-likelihood" in out.splitlines()[0]
    assert out.splitlines()[2].split()[:2] == ["behind", "text"]
    assert [line.split()[:2] for line in out.splitlines()[-2:]] == [["a", "list"], ["a", "text"]]


@pytest.mark.parametrize(
    "arguments, message",
    [
        (
            ("runs/tiny-encoder_decoder", "a"),
            "--continuation: is missing: an encoder-decoder scores it behind the text that it reads; of a --file",
        ),
        (("runs/tiny-decoder",), "no text: write one"),
        (
            ("runs/tiny-decoder", "a", "--continuation-field", "b"),
            "--continuation-field: 'b' names a field of a --file",
        ),
        (("runs/tiny-decoder", ""), "'' has no tokens"),
        (("runs/tiny-decoder", "-"), "'-' is no text; to read from stdin, write --file -"),
        (("runs/tiny-decoder", "a", "--field", "b"), "field: 'b' names a field of a --file, of which there is none"),
    ],
)
def test_mistakes_are_one_line(workshop: Workshop, command: Command, arguments: tuple[str, ...], message: str) -> None:
    status, out, err = command("score", *arguments)
    assert status in (1, 2)
    assert out == ""
    assert message in err
