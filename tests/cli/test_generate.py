"""`zoo generate`."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.tiny import Command, Workshop
from zoo.cli.generate import show_in_order, show_whole
from zoo.errors import ZooError
from zoo.generation.texts import Piece
from zoo.loading import load
from zoo.pretrained import Pretrained


def test_decoder_goes_on_with_the_prompt(workshop: Workshop, command: Command) -> None:
    status, out, err = command("generate", "runs/tiny-decoder", "Return ", "--max-new-tokens", "12")
    assert (status, err) == (0, "")
    assert out == "Return " + load("runs/tiny-decoder").generate("Return ", max_new_tokens=12) + "\n"


def test_encoder_decoder_answers(workshop: Workshop, command: Command) -> None:
    status, out, err = command("generate", "runs/tiny-encoder_decoder", "Return <extra_id_0>", "--max-new-tokens", "5")
    text = load("runs/tiny-encoder_decoder").generate("Return <extra_id_0>", max_new_tokens=5)
    told = "" if text else "note: nothing was written for the text, or special tokens only\n"
    assert (status, out, err) == (0, f"{text}\n", told)


def as_arguments(options: dict[str, Any]) -> list[str]:
    pairs = [(name, value) for name, given in options.items() for value in (given if type(given) is list else [given])]
    return [part for name, value in pairs for part in (f"--{name.replace('_', '-')}", str(value).lower())]


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 1.5, "seed": 3},
        {"temperature": 1.5, "top_k": 40, "top_p": 0.9, "min_p": 0.01, "typical_p": 0.9},
        {"repetition_penalty": 1.3, "frequency_penalty": 0.5, "presence_penalty": 0.5, "no_repeat_ngram_size": 2},
        {"prefix_tokens": [40, 41], "min_new_tokens": 3, "stop": ["e", " "], "stop_tokens": [98, 99]},
        {"num_beams": 3, "length_penalty": 0.5, "early_stopping": "never"},
        {"num_beams": 3, "early_stopping": True},
        {"temperature": 1.5, "best_of": 3, "prefix": "is"},
        {"cache": "static"},
    ],
    ids=str,
)
def test_options_reach_decoding(workshop: Workshop, command: Command, options: dict[str, Any]) -> None:
    out = command("generate", "runs/tiny-decoder", "a", "--max-new-tokens", "9", *as_arguments(options)).out
    assert out == "a" + load("runs/tiny-decoder").generate("a", max_new_tokens=9, **options) + "\n"


def test_several_prompts_and_several_texts(workshop: Workshop, command: Command) -> None:
    options = ("--max-new-tokens", "5", "--num-beams", "3", "--num-return", "2")
    out = command("generate", "runs/tiny-decoder", "a", "The ", *options).out
    found = load("runs/tiny-decoder").generate(["a", "The "], max_new_tokens=5, num_beams=3, num_return=2)
    texts = ["".join(f"{prompt}{text}\n" for text in texts) for prompt, texts in zip(["a", "The "], found, strict=True)]
    assert out == "\n".join(texts)


@pytest.mark.parametrize(
    ("options", "is_streamed"),
    [
        ({}, True),
        ({"num_beams": 1}, True),
        ({"num_return": 1}, True),
        ({"temperature": 1.0, "best_of": 1}, True),
        ({"num_beams": 2}, False),
        ({"temperature": 1.0, "num_return": 2}, False),
        ({"temperature": 1.0, "best_of": 2}, False),
    ],
    ids=str,
)
def test_one_text_of_a_prompt_is_shown_while_it_is_written(
    workshop: Workshop, command: Command, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], is_streamed: bool
) -> None:
    streamed, stream = [], Pretrained.stream

    def watched(model: Pretrained, prompt: Any, **options: Any) -> Any:
        streamed.append(options)
        return stream(model, prompt, **options)

    monkeypatch.setattr(Pretrained, "stream", watched)
    found = load("runs/tiny-decoder").generate("a", max_new_tokens=5, **options)
    texts = found if isinstance(found, list) else [found]
    out = command("generate", "runs/tiny-decoder", "a", "--max-new-tokens", "5", *as_arguments(options)).out
    assert (out, bool(streamed)) == ("".join(f"a{text}\n" for text in texts), is_streamed)


@pytest.mark.parametrize("how", [(), ("--num-beams", "2"), ("--output", "-")])
def test_a_wrong_prompt_of_a_file_is_told_by_its_line(
    workshop: Workshop, command: Command, tmp_path: Path, how: tuple[str, ...]
) -> None:
    (tmp_path / "prompts.txt").write_text("a\n\n" + "x" * 60, encoding="utf-8")
    status, out, err = command("generate", "runs/tiny-decoder", "--file", tmp_path / "prompts.txt", *how)
    assert (status, out) == (1, "")
    assert f"{tmp_path / 'prompts.txt'}, line 3: the text has 60 tokens" in err


def test_wrong_options_are_told_before_a_model_is_opened(workshop: Workshop, command: Command, tmp_path: Path) -> None:
    (tmp_path / "there").touch()
    for arguments, message in (
        (("--temperature", "-1"), "--temperature: -1.0 must be at least 0"),
        (("--max-new-tokens", "0"), "--max-new-tokens: 0 must be"),
        (("--cache", "foo"), "unknown cache 'foo'"),
        (("--output", tmp_path / "there"), "there exists already"),
        (("--stop-tokens", "the"), "'the' is not a whole number"),
    ):
        status, _, err = command("generate", tmp_path, "a", *arguments)
        assert status == 2
        assert message in err


def test_texts_are_shown_in_order_and_each_as_soon_as_it_is_its_turn(capsys: pytest.CaptureFixture[str]) -> None:
    shown = []

    def pieces() -> Iterator[Piece]:
        for piece in (Piece(1, "x", False), Piece(0, "a", False), Piece(1, "", True), Piece(0, "b", True)):
            yield piece
            shown.append(capsys.readouterr().out)

    show_in_order(["One ", "Two "], pieces(), ["first", "second"])
    assert shown == ["One ", "a", "", "b\n\nTwo x\n"]


def test_a_terminal_has_a_rule_before_each_of_several_texts(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setattr("zoo.cli.generate.screen_width", lambda: 20)
    both = [Piece(0, "a\n\nb", True), Piece(1, "c", True)]
    show_in_order(["One ", "\x1b Two "], iter(both), ["text 1 of 2", "text 2 of 2"])
    rules = ["── text 1 of 2 ─────", "── text 2 of 2 ─────"]
    assert capsys.readouterr().out == f"{rules[0]}\nOne a\n\nb\n{rules[1]}\n\\x1b Two c\n"
    show_in_order(["One "], iter(both[:1]), ["the text"])
    show_whole(["One a"], "the text", is_first=True, is_alone=True)
    assert capsys.readouterr().out == "One a\n\nb\nOne a\n"
    show_whole(["a", "b"], "a.txt, line 7", is_first=True, is_alone=True)
    assert capsys.readouterr().out == "── a.txt, line 7, 1 of 2 \na\n── a.txt, line 7, 2 of 2 \nb\n"


def test_a_text_that_ends_at_once_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    pieces = [Piece(0, "", True), Piece(1, "a", False), Piece(1, "", True)]
    show_in_order(["", ""], iter(pieces), ["text 1 of 2", "text 2 of 2"])
    assert capsys.readouterr() == ("\n\na\n", "note: nothing was written for text 1 of 2, or special tokens only\n")


def test_several_prompts_are_streamed(workshop: Workshop, command: Command) -> None:
    options = {"max_new_tokens": 6, "temperature": 1.0, "seed": 3}
    out = command("generate", "runs/tiny-decoder", "a", "The ", "Return", *as_arguments(options)).out
    found = load("runs/tiny-decoder").generate(["a", "The ", "Return"], **options)
    assert out == "\n".join(f"{one}{text}\n" for one, text in zip(["a", "The ", "Return"], found, strict=True))


@pytest.mark.parametrize("error", [ZooError("no numbers"), KeyboardInterrupt()], ids=repr)
def test_an_error_amid_a_text_gets_a_line_of_its_own(error: BaseException, capsys: pytest.CaptureFixture[str]) -> None:
    def pieces() -> Iterator[Piece]:
        yield Piece(0, "a", False)
        raise error

    with pytest.raises(type(error)):
        show_in_order(["One "], pieces(), ["first"])
    assert capsys.readouterr().out == "One a\n"


def test_no_text_steers_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setattr("zoo.cli.generate.screen_width", lambda: 0)
    pieces = [Piece(0, "\x1b", True), Piece(1, "\x07", True)]
    show_in_order(["One\x1b[31m", "Two\x1b[31m"], pieces, ["1\x1b", "2"])
    assert capsys.readouterr().out == "── 1\\x1b \nOne\\x1b[31m\\x1b\n── 2 \nTwo\\x1b[31m\\x07\n"


@pytest.mark.parametrize("name", ["prompts.txt", "prompts.jsonl"])
def test_prompts_from_a_file_and_texts_into_one(
    workshop: Workshop, command: Command, name: str, tmp_path: Path
) -> None:
    prompts = ["Return a", "The length", "What is"]
    lines = prompts if name.endswith("txt") else [json.dumps({"question": prompt, "n": 1}) for prompt in prompts]
    (tmp_path / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    field = ("--field", "question") if name.endswith("jsonl") else ()
    arguments = ("--file", tmp_path / name, *field, "--output", tmp_path / "out.jsonl")
    options = {"temperature": 1.0, "seed": 2, "max_new_tokens": 5}
    status, _, err = command("generate", "runs/tiny-decoder", *arguments, *as_arguments(options))
    assert (status, err) == (0, f"note: wrote {tmp_path / 'out.jsonl'}, 3 lines\n")
    records = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    expected = load("runs/tiny-decoder").generate(prompts, details=True, **options)
    assert records == [
        {"line": line, "prompt": prompt, **one._asdict()}
        for line, (prompt, one) in enumerate(zip(prompts, expected, strict=True), start=1)
    ]
    again = command("generate", "runs/tiny-decoder", *arguments)
    assert again.status == 2
    assert "out.jsonl exists already" in again.err


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((), "no prompt: write one, or --file"),
        (("a", "--file", "x.txt"), "file: 'x.txt' beside a prompt"),
        (("--file", "absent.txt"), "cannot read absent.txt"),
        (
            ("a", "--num-beams", "2", "--temperature", "1"),
            "--num-beams: 2 beams are searched, not drawn: --temperature 1.0 must be 0, or --num-beams 1 (--best-of ",
        ),
        (("a", "--top-k", "2"), "--top-k: 2 has no effect at temperature 0"),
        (("a", "--early-stopping", "always"), "--early-stopping: 'always' is not one of true, false, never"),
        (("a", "--cache", "statik"), "cache: unknown cache 'statik'; did you mean 'static'"),
        (
            ("a", "--temperature", "1", "--best-of", "1000000000000"),
            "--best-of: 1000000000000 rows side by side take about",
        ),
        (("a", "--cache", "windowed"), "cache: windowed forgets nothing here"),
    ],
    ids=str,
)
def test_mistakes_are_one_line(workshop: Workshop, command: Command, arguments: tuple[str, ...], message: str) -> None:
    status, out, err = command("generate", "runs/tiny-decoder", *arguments)
    assert status in (1, 2)
    assert out == ""
    assert message in err
    assert err.count("\n") == 1
