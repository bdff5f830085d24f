"""`zoo tokenizer`: its help, and that its verbs are there."""

from tests.cli.tiny import Command
from zoo.cli.tokenizer import VERBS


def test_help_lists_the_verbs(command: Command) -> None:
    for arguments in ((), ("--help",)):
        status, out, err = command("tokenizer", *arguments)
        assert status == 0, err
        assert all(f"\n  {verb} " in out for verb in VERBS)


def test_what_a_verb_does_is_not_cut(command: Command) -> None:
    lines = command("tokenizer", "--help").out.splitlines()
    assert not [line for line in lines if line.endswith("...") and not line.startswith("Usage")]


def test_an_unknown_verb_names_the_nearest(command: Command) -> None:
    status, _, err = command("tokenizer", "trian")
    assert status
    assert "train" in err
