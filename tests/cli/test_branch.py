"""`zoo branch`, from the command to the summary."""

from pathlib import Path

from tests.cli.tiny import Command, Workshop


def test_branches_and_trains(workshop: Workshop, command: Command, tmp_path: Path) -> None:
    arguments = ("branch", "runs/tiny-decoder", "--step", 4, "--name", "cooler", "--folder", tmp_path / "cooler")
    settings = ("trainer.max_steps=6", "optimizer.learning_rate=1e-4")
    outcome = command(*arguments, *settings)
    assert outcome.status == 0, outcome.err
    assert "optimizer.learning_rate 0.0001 (was 0.001)" in outcome.err
    assert "continues from step 4" in outcome.err
    assert (tmp_path / "cooler" / "origin.json").is_file()
    again = command(*arguments, *settings)
    assert again.status == 0
    assert "finished already" in again.err


def test_waits_where_it_is_told_to(workshop: Workshop, command: Command, tmp_path: Path) -> None:
    run = tmp_path / "b"
    arguments = ("runs/tiny-decoder", "--name", "b", "--folder", run, "trainer.max_steps=5", "--wait")
    outcome = command("branch", *arguments)
    assert (outcome.status, outcome.out) == (0, "")
    assert command("pretrain", run / "config.yaml", "--folder", run).status == 0


def test_mistakes(workshop: Workshop, command: Command) -> None:
    for arguments, words in (
        (["runs/tiny-decoder"], "--name"),
        (["runs/tiny-decoder", "--name", "x", "--step", "four"], "'four' is not a whole number"),
        (["runs/tiny-decoder", "--name", "x", "--step", "3"], "kept are: 4"),
        (["runs/tiny-decoder", "--name", "x"], "4 leaves nothing to train"),
        (["runs/tiny-decoder", "--name", "a/b", "trainer.max_steps=9"], "'a/b' cannot name a folder"),
        (["runs/tiny-decoder", "--name", "tiny-encoder", "trainer.max_steps=9"], "tiny-encoder exists already"),
        (["runs/gone", "--name", "x"], "runs/gone is no run folder"),
    ):
        outcome = command("branch", *arguments)
        assert outcome.status in (1, 2), outcome
        assert words in outcome.err
        assert len(outcome.err.splitlines()) == 1
