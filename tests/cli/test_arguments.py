"""What verbs share."""

import shutil
from pathlib import Path

import pytest
import typer

from tests.cli.tiny import Command, Workshop
from zoo.cli.arguments import examples, number, whole_number


def test_numbers() -> None:
    assert (whole_number("12"), number("0.5"), number("3")) == (12, 0.5, 3.0)


@pytest.mark.parametrize("text", ["", "a", "1.5"])
def test_no_whole_number(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="is not a whole number"):
        whole_number(text)


def test_no_number() -> None:
    with pytest.raises(typer.BadParameter, match="'half' is not a number"):
        number("half")


def test_examples_stand_on_lines_of_their_own() -> None:
    assert examples("zoo a", "zoo b").splitlines()[1:] == ["Examples:", "  zoo a", "  zoo b"]


def test_every_verb_that_takes_a_config_takes_a_run_folder(workshop: Workshop, command: Command) -> None:
    """In the same words: it stands for the config in it, and settings go over that."""
    run = "runs/tiny-decoder"
    for verb in (["config"], ["data", "prepare"], ["data", "stats"], ["data", "inspect"], ["describe"], ["pretrain"]):
        outcome = command(*verb, run)
        assert outcome.status == 0, (verb, outcome.err)
        if verb != ["describe"]:
            assert outcome.out == command(*verb, f"{run}/config.yaml").out
            assert "or a run folder" in " ".join(command(*verb, "--help").out.split())
    assert command("config", run, "seed=4", "--yaml").out.count("seed: 4") == 1
    named = [command("tokenizer", "train", config, "none").err for config in (run, f"{run}/config.yaml")]
    assert named[0] == named[1]
    assert "bytes" in named[0]


def test_run_folder_goes_on_where_it_is(
    workshop: Workshop, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever it was moved; under another name it is the config of a new run."""
    shutil.copytree(workshop.run("decoder"), tmp_path / "moved")
    status, _, err = command("pretrain", tmp_path / "moved")
    assert status == 0
    assert f"{tmp_path / 'moved'} is finished already" in err
    monkeypatch.chdir(tmp_path)
    assert command("pretrain", tmp_path / "moved", "name=other", "trainer.max_steps=1").status == 0
    assert (tmp_path / "runs" / "other" / "result.json").is_file()
