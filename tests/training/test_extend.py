"""A run that is extended is the run that had the larger budget from the start, or it is refused."""

from pathlib import Path
from typing import Any

import pytest

from tests.training.tiny import DROPOUT, counters, moments, rows_without_clocks, same, tiny_run, weights
from zoo.checkpoint.folder import steps_of
from zoo.errors import CheckpointError, ConfigError
from zoo.training.config import RunConfig
from zoo.training.extend import extend
from zoo.training.origin import read_origin
from zoo.training.run import pretrain, read_result
from zoo.training.run_folder import RunFolder

SETTINGS = ("trainer.save_every=2", "trainer.log_every=1", "trainer.keep=9", *DROPOUT)
EXTENDABLE = {
    "constant": "{kind: constant, warmup_steps: 2}",
    "inverse square root": "{kind: inverse_square_root, warmup_steps: 2}",
    "plateau": "{kind: warmup_stable_decay, warmup_steps: 1, decay_share: null, decay_steps: 1}",
}


def extended(folder: Path, *settings: str) -> Any:
    return pretrain(extend(folder, settings), folder)


def is_the_same(one: Path, other: Path) -> bool:
    states = [counters(run) for run in (one, other)]
    return same(weights(one), weights(other)) and same(moments(one), moments(other)) and states[0] == states[1]


@pytest.mark.parametrize("kind", ["bert", "gpt", "t5", "shares"])
def test_finished_run_goes_on_as_if_it_had_been_longer_from_the_start(kind: str, tmp_path: Path) -> None:
    settings = (*SETTINGS, "schedule.kind=constant", "trainer.accumulate=2", "data.validation_fraction=0")
    whole = tiny_run(tmp_path, kind, *settings, "trainer.max_steps=7")
    pretrain(whole, tmp_path / "whole")
    pretrain(tiny_run(tmp_path, kind, *settings, "trainer.max_steps=4"), tmp_path / "run")
    result = extended(tmp_path / "run", "trainer.max_steps=7")
    assert (result.steps, result.already_finished) == (7, False)
    assert is_the_same(tmp_path / "run", tmp_path / "whole")
    assert rows_without_clocks(tmp_path / "run") == rows_without_clocks(tmp_path / "whole")
    assert read_origin(tmp_path / "run")["extended"] == [{"step": 4, "from": "max_steps=4", "to": "max_steps=7"}]
    assert pretrain(whole, tmp_path / "run") == result._replace(already_finished=True)  # its config is the longer one


@pytest.mark.parametrize("schedule", EXTENDABLE)
def test_schedules_that_do_not_know_the_end(schedule: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = (*SETTINGS, f"schedule={EXTENDABLE[schedule]}")
    pretrain(tiny_run(tmp_path, "gpt", *settings, "trainer.max_steps=9"), tmp_path / "whole")
    config = tiny_run(tmp_path, "gpt", *settings, "trainer.max_steps=5")
    pretrain(config, tmp_path / "run")
    if schedule == "plateau":  # its last step was a decay: as if it had been stopped before
        (tmp_path / "run" / "checkpoints" / "step-5" / "manifest.json").unlink()
        (tmp_path / "run" / "result.json").unlink()
        with pytest.warns(UserWarning, match="passing over"):
            extended(tmp_path / "run", "trainer.max_steps=9")
    else:
        extended(tmp_path / "run", "trainer.max_steps=9")
    assert is_the_same(tmp_path / "run", tmp_path / "whole")
    told = capsys.readouterr().err
    assert "max_steps=5 becomes max_steps=9; learning rate " in told
    assert "(was to be " in told


def test_budget_in_tokens(tmp_path: Path) -> None:
    settings = (*SETTINGS, "trainer.max_steps=null", "schedule={kind: constant, warmup_steps: 0, warmup_tokens: 500}")
    pretrain(tiny_run(tmp_path, "gpt", *settings, "trainer.max_tokens=4000"), tmp_path / "whole")
    short = pretrain(tiny_run(tmp_path, "gpt", *settings, "trainer.max_tokens=1500"), tmp_path / "run")
    assert short.steps < extended(tmp_path / "run", "trainer.max_tokens=4000").steps
    assert is_the_same(tmp_path / "run", tmp_path / "whole")


def test_while_batch_and_length_grow(tmp_path: Path) -> None:
    growing = (
        "trainer.batch_warmup={start: 2, increment: 2, steps: 3}",
        "trainer.length_warmup={start: 20, increment: 10, steps: 3}",
    )
    settings = (*SETTINGS, *growing, "schedule.kind=constant")
    pretrain(tiny_run(tmp_path, "gpt", *settings, "trainer.max_steps=8"), tmp_path / "whole")
    pretrain(tiny_run(tmp_path, "gpt", *settings, "trainer.max_steps=4"), tmp_path / "run")
    extended(tmp_path / "run", "trainer.max_steps=8")
    assert is_the_same(tmp_path / "run", tmp_path / "whole")


def test_stopped_run_is_extended_as_well(tmp_path: Path) -> None:
    settings = (*SETTINGS, "schedule.kind=constant")
    pretrain(tiny_run(tmp_path, "gpt", *settings, "trainer.max_steps=6"), tmp_path / "run")
    for step in (5, 6):  # as if it had been killed in its fifth step
        for path in (tmp_path / "run" / "checkpoints").glob(f"step-{step}"):
            path.rename(tmp_path / path.name)
    (tmp_path / "run" / "result.json").unlink()
    pretrain(tiny_run(tmp_path, "gpt", *settings, "trainer.max_steps=8"), tmp_path / "whole")
    extended(tmp_path / "run", "trainer.max_steps=8")
    assert is_the_same(tmp_path / "run", tmp_path / "whole")


def test_run_that_has_not_begun_takes_any_schedule(tmp_path: Path) -> None:
    config = tiny_run(tmp_path, "gpt", *SETTINGS)
    RunFolder(tmp_path / "run", config).close()
    assert extended(tmp_path / "run", "trainer.max_steps=5").steps == 5


def test_killed_while_it_is_extended_it_is_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tiny_run(tmp_path, "gpt", *SETTINGS, "schedule.kind=constant")
    result = pretrain(config, tmp_path / "run")

    class Ending(Exception):  # noqa: N818
        pass

    def end(self: RunFolder, config: RunConfig) -> None:
        raise Ending

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "write_config", end)
        patch.setattr(RunFolder, "_claim", lambda self, config: None)
        with pytest.raises(Ending):
            extend(tmp_path / "run", ["trainer.max_steps=6"])
    assert pretrain(config, tmp_path / "run") == result
    assert extended(tmp_path / "run", "trainer.max_steps=6").steps == 6


# ------------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    "schedule, until",
    [
        ("{kind: linear, warmup_steps: 1}", "the same up to 1; kept checkpoints up to there: none"),
        ("{kind: cosine, warmup_steps: 2}", "the same up to 2; kept checkpoints up to there: 2"),
        ("{kind: warmup_stable_decay, decay_share: 0.5}", "the same up to 4; kept checkpoints up to there: 2, 4"),
        ("{kind: constant, warmup_share: 0.5}", "the same up to 0; kept checkpoints up to there: none"),
    ],
)
def test_schedule_that_would_have_gone_another_way(schedule: str, until: str, tmp_path: Path) -> None:
    config = tiny_run(tmp_path, "gpt", *SETTINGS, f"schedule={schedule}", "trainer.max_steps=8")
    result = pretrain(config, tmp_path / "run")
    with pytest.raises(ConfigError, match=r"the rate was .* it would have been ") as caught:
        extend(tmp_path / "run", ["trainer.max_steps=16"])
    assert until in str(caught.value)
    assert "zoo branch" in str(caught.value)
    assert read_result(tmp_path / "run") == result._replace(already_finished=True)  # nothing was touched
    assert pretrain(config, tmp_path / "run").already_finished


@pytest.mark.parametrize(
    "settings, words",
    [
        ([], "say how long .* trainer.max_steps=…"),
        (["trainer.max_steps=4"], "trainer.max_steps: 4 is not more than the 4 of"),
        (["trainer.max_steps=2"], "2 is not more than the 4"),
        (["trainer.max_steps=many"], "trainer.max_steps: 'many'"),
        (
            ["trainer.max_tokens=1e6"],
            "trainer.max_tokens: .* is as long as trainer.max_steps=4; .* trainer.max_steps=…",
        ),
        (
            ["trainer.max_steps=9", "optimizer.learning_rate=1"],
            "optimizer.learning_rate: cannot be changed by extending.* zoo branch .* optimizer.learning_rate=…",
        ),
        (["trainer.max_stepz=9"], "trainer.max_stepz: unknown key 'max_stepz'; did you mean 'max_steps'"),
        (["dta.cache=x"], "dta: unknown key 'dta'; did you mean 'data'"),
        (["max_steps"], "'max_steps' is no setting"),
    ],
)
def test_what_is_refused(settings: list[str], words: str, tmp_path: Path) -> None:
    RunFolder(tmp_path / "run", tiny_run(tmp_path, "gpt", *SETTINGS)).close()
    with pytest.raises(ConfigError, match=words):
        extend(tmp_path / "run", settings)


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "gone"):
        with pytest.raises(CheckpointError, match=r"is no run folder: it has no config.yaml"):
            extend(folder, ["trainer.max_steps=9"])


def test_folder_in_use_is_refused(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run", tiny_run(tmp_path, "gpt", *SETTINGS))
    with pytest.raises(CheckpointError, match="in use by process"):
        extend(tmp_path / "run", ["trainer.max_steps=9"])
    run.close()
    assert not steps_of(tmp_path / "run" / "checkpoints")
