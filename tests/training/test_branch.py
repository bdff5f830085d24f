"""A branch has the checkpoint it starts from and the new settings from there on."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.training.tiny import (
    DROPOUT,
    counters,
    moments,
    newest,
    rows_without_clocks,
    same,
    tiny_run,
    weights,
    write_config,
    write_text,
)
from zoo.checkpoint.folder import steps_of
from zoo.checkpoint.tensors import load_tensors, load_tree
from zoo.errors import CheckpointError, ConfigError
from zoo.training.branch import branch
from zoo.training.checkpoint_io import FolderCheckpointIO
from zoo.training.extend import config_of, extend
from zoo.training.metrics_file import read_metrics
from zoo.training.origin import read_origin
from zoo.training.run import Result, pretrain
from zoo.training.samples import read_samples

SETTINGS = ("trainer.save_every=2", "trainer.log_every=1", "trainer.keep=9", "trainer.max_steps=8", *DROPOUT)
PLATEAU = "schedule={kind: warmup_stable_decay, warmup_steps: 1, decay_share: 0.5}"


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    pretrain(tiny_run(tmp_path, "gpt", *SETTINGS, PLATEAU), tmp_path / "origin")
    return tmp_path / "origin"


def trained(path: Path) -> Result:
    return pretrain(config_of(path), path)


def rates(run: Path) -> list[float]:
    return [float(row["learning_rate"]) for row in read_metrics(run / "metrics.csv")]


@pytest.mark.parametrize(
    "kind, more",
    [
        ("bert", ["trainer.ema={decay: 0.5, start: 1}"]),
        ("t5", ["trainer.precision=bf16-true"]),
        ("experts", []),
        ("gpt", ["optimizer={kind: schedule_free}", "schedule.kind=constant"]),
        ("gpt", ["optimizer={kind: muon}", "trainer.precision=64-true"]),
    ],
)
def test_branch_that_changes_nothing_is_the_run(kind: str, more: list[str], tmp_path: Path) -> None:
    pretrain(tiny_run(tmp_path, kind, *SETTINGS, "trainer.accumulate=2", *more), tmp_path / "origin")
    path = branch(tmp_path / "origin", 4, "again")
    assert path == tmp_path / "again"
    trained(path)
    assert same(weights(path), weights(tmp_path / "origin"))
    assert same(moments(path), moments(tmp_path / "origin"))
    assert counters(path) == counters(tmp_path / "origin")
    assert rows_without_clocks(path) == rows_without_clocks(tmp_path / "origin")
    if kind == "bert":
        averages = [
            load_tensors(newest(run) / "model-ema" / "model.safetensors") for run in (path, tmp_path / "origin")
        ]
        assert same(*averages)
        assert not same(averages[0], weights(path))


def test_decay_off_a_plateau_is_the_run_that_was_planned_so(origin: Path, tmp_path: Path) -> None:
    """Up to step 4 both had the same rates: the branch is, bit for bit, the shorter run."""
    planned = tiny_run(tmp_path, "gpt", *SETTINGS, PLATEAU, "trainer.max_steps=6", "schedule.decay_share=0.25")
    pretrain(planned, tmp_path / "planned")
    path = branch(origin, 4, "decay", ["trainer.max_steps=6", "schedule.decay_share=0.25"])
    assert trained(path).steps == 6
    assert same(weights(path), weights(tmp_path / "planned"))
    assert same(moments(path), moments(tmp_path / "planned"))
    assert rates(path) == rates(tmp_path / "planned")
    entry = read_origin(path)["branched"]
    assert (entry["run"], entry["step"], len(entry["sha256"])) == (str(origin), 4, 64)


def test_samples_and_curves_up_to_the_step_come_along(tmp_path: Path) -> None:
    validated = ("trainer.validate_every=2", "samples.count=1", "data.validation_fraction=0.2")
    pretrain(tiny_run(tmp_path, "gpt", *SETTINGS, PLATEAU, *validated), tmp_path / "origin")
    path = branch(tmp_path / "origin", 4, "branch", ["optimizer.learning_rate=0.1"])
    trained(path)
    before, after = (read_samples(run / "samples.jsonl") for run in (tmp_path / "origin", path))
    assert [row["step"] for row in after] == [row["step"] for row in before] == [2, 4, 6, 8]
    assert after[:2] == before[:2]
    for step in (2, 4, 6, 8):
        name = f"evaluation/step-{step}.json"
        assert ((path / name).read_bytes() == (tmp_path / "origin" / name).read_bytes()) == (step <= 4)


@pytest.mark.parametrize("setting", ["best.patience=null", "best.patience=9"])
def test_run_that_ended_early_is_branched_to_go_on(setting: str, tmp_path: Path) -> None:
    """It judges anew: neither the end nor the best steps of the other are its own."""
    early = ("trainer.validate_every=1", "data.validation_fraction=0.2", "best={keep: 1, patience: 2, margin: 1000}")
    ended = pretrain(tiny_run(tmp_path, "gpt", *SETTINGS, PLATEAU, *early), tmp_path / "origin")
    assert ended.ended
    assert ended.steps == 3
    with pytest.raises(ConfigError, match=r"the run ended early: .*Instead: zoo branch .* best\.patience=null"):
        extend(tmp_path / "origin", ["trainer.max_steps=12"])
    path = branch(tmp_path / "origin", None, "on", [setting, *(["best.margin=0"] if "null" in setting else [])])
    result = trained(path)
    assert (result.steps, result.ended) == (8, "")
    assert result.best is not None
    assert result.best.parent == path / "checkpoints"


def test_origin_is_needed_no_more_and_stays_as_it_was(origin: Path, tmp_path: Path) -> None:
    before = sorted((path.relative_to(origin), path.stat().st_mtime_ns) for path in origin.rglob("*"))
    path = branch(origin, None, "longer", ["trainer.max_steps=10", "schedule.kind=constant"])
    assert sorted((path.relative_to(origin), path.stat().st_mtime_ns) for path in origin.rglob("*")) == before
    shutil.rmtree(origin)
    assert trained(path).steps == 10
    assert [step for step, _ in steps_of(path / "checkpoints")] == [10, 8]
    assert [int(row["step"]) for row in read_metrics(path / "metrics.csv")] == list(range(1, 11))


def test_settings_of_the_optimizer_hold_from_the_step_on(
    origin: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = [
        "optimizer.learning_rate=0.1",
        "optimizer.weight_decay=0.5",
        "optimizer.beta1=0.5",
        "schedule.kind=constant",
    ]
    path = branch(origin, 2, "hot", settings)
    told = capsys.readouterr().err
    assert "optimizer.learning_rate 0.1 (was 0.003)" in told
    assert "learning rate of the next step: 0.1 (in " in told
    (groups,) = (
        state["param_groups"] for state in load_tree(path / "checkpoints" / "step-2", "trainer")["optimizer_states"]
    )
    assert {group["betas"] for group in groups} == {(0.5, 0.999)}
    assert {group["weight_decay"] for group in groups} == {0.5, 0.0}
    trained(path)
    assert rates(path)[:2] == rates(origin)[:2]
    assert set(rates(path)[2:]) == {0.1}
    assert not same(weights(path), weights(origin))


def test_other_text_from_the_step_on(origin: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = write_text(tmp_path / "other.txt", seed=5)
    path = branch(origin, 4, "other", [f"data.source.path={text}"])
    assert "note: steps hold other rows now" in capsys.readouterr().err
    assert trained(path).steps == 8
    assert [row["train/loss"] for row in read_metrics(path / "metrics.csv")[:4]] == [
        row["train/loss"] for row in read_metrics(origin / "metrics.csv")[:4]
    ]


def test_same_call_again_finds_the_branch(origin: Path, tmp_path: Path) -> None:
    path = branch(origin, 4, "again", ["trainer.max_steps=10"])
    result = trained(path)
    shutil.rmtree(origin / "checkpoints" / "step-4")
    assert branch(origin, 4, "again", ["trainer.max_steps=10"]) == path
    assert trained(path) == result._replace(already_finished=True)
    with pytest.raises(ConfigError, match=r"different config .trainer.max_steps was 10, is 12"):
        branch(origin, 4, "again", ["trainer.max_steps=12"])


def test_killed_while_it_is_made_it_is_made_by_the_same_call(
    origin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Ending(Exception):  # noqa: N818
        pass

    def end(self: FolderCheckpointIO, *arguments: Any, **options: Any) -> None:
        raise Ending

    with monkeypatch.context() as patch:
        patch.setattr(FolderCheckpointIO, "save_checkpoint", end)
        with pytest.raises(Ending):
            branch(origin, 4, "made")
    with pytest.raises(CheckpointError, match="give the zoo branch command again"):
        trained(tmp_path / "made")  # it must not begin from nothing
    path = branch(origin, 4, "made")
    trained(path)
    assert same(weights(path), weights(origin))


@pytest.mark.parametrize(
    "step, settings, error, words",
    [
        (3, [], CheckpointError, "has no checkpoint of step 3; kept are: 2, 4, 6, 8"),
        (8, [], ConfigError, "trainer.max_steps: 8 leaves nothing to train: 8 are spent at step 8"),
        (4, ["name=x"], ConfigError, "name: cannot be changed by branching; say --name"),
        (4, ["tokenizer.kind=characters"], ConfigError, "tokenizer.kind: cannot be changed .* init_from"),
        (4, ["model.dim=32"], ConfigError, r"model\.dim: 32 \(was 16\) makes another model.*step 4.*a new run"),
        (4, ["model.positions=none"], ConfigError, r"model\.positions\.kind: 'none' \(was .*\) makes another model"),
        (4, ["trainer.max_stepz=9"], ConfigError, "did you mean 'max_steps'"),
    ],
)
def test_what_is_refused(
    step: int, settings: list[str], error: type[Exception], words: str, origin: Path, tmp_path: Path
) -> None:
    with pytest.raises(error, match=words):
        branch(origin, step, "new", settings)
    assert not (tmp_path / "new").exists()


def test_folder_of_something_else_is_refused(origin: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    write_config(tmp_path / "full", "gpt")
    with pytest.raises(CheckpointError, match="full exists already; give the branch another --name"):
        branch(origin, 4, "full")
    branch(origin, 4, "taken")
    with pytest.raises(CheckpointError, match=r"taken is a branch of .*origin at step 4 already"):
        branch(origin, 2, "taken")
