"""`zoo data` as a verb with verbs of its own."""

import pytest

from tests.cli.tiny import Command
from zoo.cli.data import VERBS


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_examples(verb: str, command: Command) -> None:
    status, out, _ = command("data", verb, "--help")
    assert status == 0
    assert f"Usage: zoo data {verb}" in out
    assert f"\n    zoo data {verb}" in out.partition("Examples:")[2]


def test_help_lists_them(command: Command) -> None:
    page = command("data", "--help").out
    listed = page.partition("Commands:")[2].partition("Examples:")[0]
    assert [line.split()[0] for line in listed.strip().splitlines()] == list(VERBS)
    assert "..." not in listed
    assert command("data") == command("data", "--help")


def test_an_unknown_one_is_named_with_the_nearest(command: Command) -> None:
    status, out, err = command("data", "prepar", "gpt-nano")
    assert (status, out) == (2, "")
    assert "unknown verb of zoo data 'prepar'; did you mean 'prepare'" in err
    assert "pretrain" not in err
