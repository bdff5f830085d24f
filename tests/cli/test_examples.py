"""The examples of the help pages: narrow enough, and each works as it is typed, or says what it needs.

Before them stand the commands of `zoo --help` and `zoo pretrain t5-nano`, and for one verb the examples above.
"""

import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType

import pytest

from tests.cli.tiny import Command
from tests.test_docs import config_as_typed, desk  # noqa: F401  (a fixture)
from tests.training.tiny import shrink
from zoo.cli import main
from zoo.training.shipped import load_run

NEEDS = "# needs "


def pages(verbs: Mapping[str, ModuleType], front: str = "zoo") -> Iterator[tuple[str, str]]:
    """(command, the end of its help page) of each verb, those behind verbs too."""
    for name, verb in verbs.items():
        yield f"{front} {name}", verb.EXAMPLES
        yield from pages(getattr(verb, "VERBS", {}), f"{front} {name}")


PAGES = {"zoo": main.EXAMPLES, **dict(pages(main.VERBS))}


def typed(page: str) -> list[list[str]]:
    """The arguments of each example of a page that says of nothing that it needs it."""
    found, needs = [], False
    for line in PAGES[page].replace("\\\n", " ").splitlines()[2:]:
        command, _, note = line.partition(" # ")
        if line.strip().startswith("#"):
            needs = line.strip().startswith(NEEDS)
        elif not needs and not f"# {note}".startswith(NEEDS):
            words = shlex.split(re.split(r" [<>|] ", command)[0])
            assert words[0] == "zoo"
            found.append(words[1:])
    return found


@pytest.mark.parametrize("page", PAGES)
def test_every_line_fits_into_a_terminal_of_80(page: str, command: Command) -> None:
    out = command(*page.split()[1:], "--help").out
    assert "Examples:" in out
    assert [line for line in out.splitlines() if len(line) > 80] == []


def test_settings_are_legal_as_they_are_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is made smaller here, so that a schedule that does not fit its steps is noticed."""
    monkeypatch.chdir(tmp_path)
    every = [(words, " ".join(words)) for page in PAGES for words in typed(page)]
    alone = [words for words, line in every if "runs/" not in line and "--help" not in line]
    checked = [config_as_typed(words) for words in alone]
    assert len([config for config in checked if config is not None]) > 20


def test_steps_that_are_named_are_kept() -> None:
    """Of the shipped configs, whose runs are named as they are."""
    named = [
        (name, int(step))
        for page in PAGES
        for words in typed(page)
        for name, step in re.findall(r"runs/([a-z0-9-]+)(?:/checkpoints/step-| .*--step )(\d+)", " ".join(words))
        if words[0] != "data"
    ]
    assert named
    for name, step in named:
        trainer = load_run(name).config.trainer
        kept = [trainer.max_steps - number * trainer.save_every for number in range(trainer.keep)]
        assert step in kept, (name, step)


def on_small_runs(words: list[str], small: list[str]) -> list[str]:
    """A command with small models and few steps, if it makes something; the steps that it names are those of these."""
    front = {"pretrain": 2, "data": 3, "tokenizer": 4}.get(words[0])
    if front is not None and not {"--help", "inspect"} & {*words[:2], words[-1]} and not words[1].startswith("runs/"):
        said = {word.partition("=")[0] for word in words}
        words = [*words[:front], *(one for one in small if one.partition("=")[0] not in said), *words[front:]]
    for real, ours in (
        (r"^(.*/step-)?400$", r"\g<1>2"),
        (r"max_steps=200$", "max_steps=2"),
        (r"max_steps=2000$", "max_steps=3"),
    ):
        words = [re.sub(real, ours, word) for word in words]
    return [str(path) for word in words for path in (sorted(Path().glob(word)) if word.endswith("*") else [word])]


@pytest.mark.slow
@pytest.mark.usefixtures("desk")
def test_examples_run(tmp_path: Path, command: Command) -> None:
    small = [*shrink(tmp_path), "trainer.save_every=1", "model.max_length=128"]
    assert command("pretrain", "t5-nano", *small).status == 0
    failed = []
    for page in PAGES:
        for words in typed(page):
            outcome = command(*(on_small_runs(words, small) if page != "zoo list" else words))
            failed += [(page, words, outcome.err)] if outcome.status else []
    assert not failed, "\n".join(map(str, failed))
