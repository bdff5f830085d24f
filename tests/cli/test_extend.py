"""`zoo extend`, from the command to the summary."""

from pathlib import Path

from tests.cli.tiny import Command, Workshop


def test_goes_on_for_longer(workshop: Workshop, command: Command, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert command("pretrain", workshop.config("decoder"), "--folder", run).status == 0
    outcome = command("extend", run, "trainer.max_steps=6")
    assert outcome.status == 0, outcome.err
    assert "max_steps=4 becomes max_steps=6; learning rate 0.001 (was to be 0.001) in the next step" in outcome.err
    assert "continues from step 4" in outcome.err
    assert "steps                6" in outcome.out.replace("  6", "  6")
    assert command("extend", run, "trainer.max_steps=6").status == 2
    outcome = command("pretrain", workshop.config("decoder"), "--folder", run)
    assert outcome.status == 2
    assert f"{run} was extended to trainer.max_steps=6 and is finished: there is nothing to do; --fresh" in outcome.err


def test_waits_where_it_is_told_to(workshop: Workshop, command: Command, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert command("pretrain", workshop.config("decoder"), "--folder", run).status == 0
    outcome = command("extend", run, "trainer.max_steps=6", "--wait")
    assert (outcome.status, outcome.out) == (0, "")
    assert f"zoo pretrain {run / 'config.yaml'} --folder {run}" in outcome.err
    assert not (run / "result.json").exists()
    told = command("pretrain", workshop.config("decoder"), "--folder", run).err
    assert f"extended to trainer.max_steps=6 and is not finished: zoo pretrain {run} goes on with it" in told
    assert command("pretrain", run / "config.yaml", "--folder", run).status == 0


def test_mistakes(workshop: Workshop, command: Command) -> None:
    for arguments, words in (
        (["runs/gone", "trainer.max_steps=9"], "runs/gone is no run folder"),
        (["runs/tiny-decoder"], "trainer.max_steps=…"),
        (["runs/tiny-decoder", "trainer.max_steps=1"], "1 is not more than the 4"),
        (["runs/tiny-decoder", "seed=1"], "seed: cannot be changed by extending"),
    ):
        outcome = command("extend", *arguments)
        assert outcome.status in (1, 2)
        assert words in outcome.err
        assert len(outcome.err.splitlines()) == 1


def test_ranks_that_torchrun_started_are_refused(workshop: Workshop, command: Command, monkeypatch: object) -> None:
    import pytest

    assert isinstance(monkeypatch, pytest.MonkeyPatch)
    for name, value in {"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    outcome = command("extend", "runs/tiny-decoder", "trainer.max_steps=9")
    assert outcome.status == 2
    assert "--wait" in outcome.err
