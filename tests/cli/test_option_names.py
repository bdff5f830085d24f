"""Errors call options as they are typed, and nothing else."""

import inspect
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.main import get_command

from tests.cli.tiny import Command
from zoo.cli.decoding_options import with_decoding
from zoo.cli.main import VERBS, build_app
from zoo.cli.option_names import Verb
from zoo.errors import ConfigError, LengthError
from zoo.spelling import named


def every_verb(verbs: Mapping[str, Any], before: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """(words of the command line, its file) of each verb and of what stands behind one."""
    for name, verb in verbs.items():
        if hasattr(verb, "VERBS"):
            yield from every_verb(verb.VERBS, (*before, name))
        else:
            yield (*before, name), verb


EVERY_VERB = dict(every_verb(VERBS))


@pytest.mark.parametrize("words", EVERY_VERB, ids=" ".join)
def test_every_verb_calls_each_of_its_options_as_its_help_page_does(words: tuple[str, ...], command: Command) -> None:
    verb: Any = get_command(build_app())
    for word in words:
        verb = verb.commands[word]
    on_page = re.findall(r"^  (--[a-z-]+)", command(*words, "--help").out.partition("Options:")[2], re.MULTILINE)
    assert [*verb.option_names.values(), "--help"] == on_page
    assert set(verb.option_names) <= set(inspect.signature(EVERY_VERB[words].run).parameters)


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        (["generate", "max_new_tokens", "hi"], "error: max_new_tokens is missing; name a run folder"),
        (["generate", "a num_beams b", "hi"], "error: a num_beams b holds no model"),
        (["generate", "a num_beams b", "hi", "--file", "x"], "error: --file: 'x' beside a prompt"),
        (
            ["score", "a num_beams b", "--file", "no which=best.txt"],
            "error: cannot read no which=best.txt: No such file or directory",
        ),
        (["score", "a num_beams b", "hi", "--which", "foo"], "error: --which: unknown checkpoint 'foo'"),
        (["evaluate", "a num_beams b", "--which", "foo"], "error: --which: unknown checkpoint 'foo'"),
        (["evaluate", "a num_beams b", "--weights", "foo"], "error: --weights: unknown weights 'foo'"),
        (["describe", "gpt2", "--mfu", "3"], "error: --mfu: 3 is no share of the peak"),
        (["describe", "gpt2", "mfu=3"], "error: mfu: unknown decoder model key 'mfu'"),
        (["config", "gpt-nano", "docs=1"], "error: docs: unknown key 'docs'"),
        (["tokenizer", "train", "gpt-nano", "new", "--held-out", "3"], "error: --held-out: 3.0 must be at least 0"),
        (
            ["generate", "a num_beams b", "hi", "--num-return", "3", "--temperature", "0"],
            "error: --num-return: 3 texts at --temperature 0.0, but with --num-beams 1 there is 1; raise --num-beams,",
        ),
    ],
    ids=lambda part: " ".join(part) if isinstance(part, list) else "",
)
def test_options_and_what_the_user_wrote(
    typed: list[str], told: str, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a num_beams b").mkdir()
    outcome = command(*typed)
    assert outcome.status
    assert outcome.err.strip().startswith(told)


def test_an_error_comes_out_as_it_was_raised() -> None:
    raised: list[Exception] = [LengthError("is long", 3, length=9, limit=4), ConfigError("is wrong", "stop")]

    def run() -> None:
        raise raised[0]

    app = typer.Typer(pretty_exceptions_enable=False)
    app.command(cls=Verb)(run)
    for _ in range(len(raised)):
        with pytest.raises(type(raised[0])) as caught:
            app([], standalone_mode=False)
        assert caught.value is raised.pop(0)


def test_names_are_as_typed_while_the_verb_runs_and_no_longer() -> None:
    seen: list[Any] = []

    @with_decoding("temperature", "stop")
    def run(*, decoding: dict[str, Any]) -> None:
        seen.append((decoding, named("stop"), str(ConfigError("is wrong", "temperature"))))

    app = typer.Typer(pretty_exceptions_enable=False)
    app.command(cls=Verb)(run)
    app(["--temperature", "0.5", "--stop", "a"], standalone_mode=False)
    assert seen == [({"temperature": 0.5, "stop": ["a"]}, "--stop", "--temperature: is wrong")]
    assert named("stop") == "stop"
