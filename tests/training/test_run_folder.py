"""Who may write in a run folder, and what is in it."""

import errno
import fcntl
import json
import os
from pathlib import Path

import pytest
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from tests.training.tiny import FULL, tiny_run
from zoo.errors import CheckpointError, ConfigError
from zoo.training.config import RunConfig
from zoo.training.origin import read_origin, record
from zoo.training.run_folder import RunFolder, check_same_run, environment
from zoo.training.shipped import load_run


@pytest.fixture
def config(tmp_path: Path) -> RunConfig:
    return tiny_run(tmp_path, "gpt")


def claim(path: Path, config: RunConfig, fresh: bool = False) -> RunFolder:
    """Takes a folder and gives it back."""
    run = RunFolder(path, config, fresh)
    run.close()
    return run


def leave_work(path: Path) -> None:
    """What a run leaves that is worth keeping."""
    (path / "metrics.csv").write_text("step\n1\n", encoding="utf-8")


def test_config_in_the_folder_makes_the_same_run(config: RunConfig, tmp_path: Path) -> None:
    run = claim(tmp_path / "deep" / "run", config)
    text = (run.path / "config.yaml").read_text(encoding="utf-8")
    assert text.startswith("# zoo pretrain ")
    assert load_run(run.path / "config.yaml").config == config
    assert run.checkpoints.is_dir()
    assert not run.result.exists()


def test_environment_says_what_it_ran_on_and_nothing_secret(
    config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "hush-hush")
    path = claim(tmp_path / "run", config).path / "environment.json"
    assert "hush-hush" not in path.read_text(encoding="utf-8")
    found = json.loads(path.read_text(encoding="utf-8"))
    assert found == json.loads(json.dumps(environment()))
    assert found["packages"]["torch"].startswith("2.")
    assert {"python", "platform", "devices", "threads"} <= set(found)
    assert "transformer-zoo" in found["packages"]


def test_environment_of_a_finished_run_stays_that_which_made_it(config: RunConfig, tmp_path: Path) -> None:
    run = claim(tmp_path / "run", config)
    leave_work(run.path)
    path = run.path / "environment.json"
    path.write_text('{"threads": 99}', encoding="utf-8")
    run.result.write_text("{}", encoding="utf-8")
    claim(run.path, config)
    assert json.loads(path.read_text(encoding="utf-8")) == {"threads": 99}
    run.result.unlink()
    claim(run.path, config)
    assert json.loads(path.read_text(encoding="utf-8")) == json.loads(json.dumps(environment()))


# ----------------------------------------------------------------------------------------------------------------- lock


def test_second_process_is_refused_and_told_who_has_it(config: RunConfig, tmp_path: Path) -> None:
    first = RunFolder(tmp_path / "run", config)
    for fresh in (False, True):
        with pytest.raises(CheckpointError, match=rf"in use by process {os.getpid()} on"):
            RunFolder(tmp_path / "run", config, fresh)
    first.close()
    first.close()
    claim(tmp_path / "run", config)


def test_lock_ends_with_its_owner_though_a_child_lives_on(config: RunConfig, tmp_path: Path) -> None:
    """Data workers are forked, and notice the death of a killed owner some seconds later."""
    run = RunFolder(tmp_path / "run", config)
    born, bearing = os.pipe()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writer)
        os.write(bearing, b"1")
        os.read(reader, 1)  # until the parent is done
        os._exit(0)
    os.read(born, 1)
    with pytest.raises(CheckpointError, match="in use"):
        RunFolder(tmp_path / "run", config)
    run.close()
    claim(tmp_path / "run", config)
    os.close(writer)
    os.waitpid(child, 0)


def test_refusal_gives_the_lock_back(config: RunConfig, tmp_path: Path) -> None:
    leave_work(claim(tmp_path / "run", config).path)
    other = tiny_run(tmp_path, "gpt", "seed=7")
    for _ in range(2):
        with pytest.raises(ConfigError, match="seed was 0, is 7"):
            RunFolder(tmp_path / "run", other)
    claim(tmp_path / "run", config)


def test_file_system_without_locks(config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", fail)
    with pytest.warns(UserWarning, match="no other process runs there"):
        claim(tmp_path / "run", config)


# ------------------------------------------------------------------------------------------------- other configs, fresh


def test_folder_of_another_config_is_refused_with_the_difference(config: RunConfig, tmp_path: Path) -> None:
    run = claim(tmp_path / "run", config)
    other = tiny_run(tmp_path, "gpt", "optimizer.learning_rate=0.5", "model.dim=32", "trainer.num_workers=3")
    leave_work(run.path)
    with pytest.raises(ConfigError) as caught:
        RunFolder(run.path, other)
    for words in ("optimizer.learning_rate was 0.003, is 0.5", "model.dim was 16, is 32", "--fresh"):
        assert words in str(caught.value)
    assert "num_workers" not in str(caught.value)
    assert load_run(run.path / "config.yaml").config == config


@pytest.mark.parametrize("left", ["metrics.csv", "result.json", "checkpoints/step-3"])
def test_what_counts_as_work(left: str, config: RunConfig, tmp_path: Path) -> None:
    run = claim(tmp_path / "run", config)
    if left == "metrics.csv":
        leave_work(run.path)
    else:
        (run.path / left).mkdir()
    with pytest.raises(ConfigError, match="different config"):
        RunFolder(run.path, tiny_run(tmp_path, "gpt", "seed=7"))
    (run.path / "config.yaml").unlink()
    with pytest.raises(CheckpointError, match=r"no config\.yaml"):
        RunFolder(run.path, config)


def test_folder_in_which_nothing_was_trained_takes_any_config(config: RunConfig, tmp_path: Path) -> None:
    """Whoever mistyped the path of the text mends it and goes on, without --fresh."""
    claim(tmp_path / "run", config)
    other = tiny_run(tmp_path, "gpt", "seed=7")
    (tmp_path / "run" / "metrics.csv").write_text("step,loss\n", encoding="utf-8")  # it broke off in its first step
    claim(tmp_path / "run", other)
    assert load_run(tmp_path / "run" / "config.yaml").config == other


def test_settings_that_change_nothing_trained_may_differ(config: RunConfig, tmp_path: Path) -> None:
    leave_work(claim(tmp_path / "run", config).path)
    settings = (
        "trainer.num_workers=2",
        "trainer.keep=5",
        "trainer.save_every=3",
        "trainer.validate_every=3",
        "trainer.validation_batch_size=2",
        "trainer.log_every=3",
        "wandb.enabled=true",
    )
    other = tiny_run(tmp_path, "gpt", *settings)
    claim(tmp_path / "run", other)
    assert load_run(tmp_path / "run" / "config.yaml").config == other


@pytest.mark.parametrize("setting", ["trainer.validate_every=3", "trainer.validation_batch_size=2"])
def test_validations_that_decide_the_end_stay_as_they_are(setting: str, tmp_path: Path) -> None:
    patient = ("best.patience=2", "trainer.validate_every=2")
    leave_work(claim(tmp_path / "run", tiny_run(tmp_path, "gpt", *patient)).path)
    claim(tmp_path / "run", tiny_run(tmp_path, "gpt", *patient, "trainer.save_every=3"))
    with pytest.raises(ConfigError, match=r"by best\.patience, validations decide where it ends.*name=…"):
        RunFolder(tmp_path / "run", tiny_run(tmp_path, "gpt", *patient, setting))


def test_config_that_takes_a_folder_over_does_not_inherit_what_says_which_run_it_is(
    config: RunConfig, tmp_path: Path
) -> None:
    run = claim(tmp_path / "run", config).path
    record(run, extended=[{"step": 0, "from": "a", "to": "b"}])
    (run / ".wandb-id").write_text("x", encoding="utf-8")
    claim(run, tiny_run(tmp_path, "gpt", "trainer.keep=5"))  # the same run
    assert read_origin(run)
    assert (run / ".wandb-id").exists()
    claim(run, tiny_run(tmp_path, "gpt", "seed=7"))
    assert read_origin(run) == {}
    assert not (run / ".wandb-id").exists()


def test_difference_names_what_came_and_what_went() -> None:
    with pytest.raises(ConfigError) as caught:
        check_same_run(Path("run"), {"a": 1, "b": 2}, {"b": 3, "c": None})
    assert "b was 2, is 3" in str(caught.value)
    assert "a was 1" in str(caught.value)


def test_more_of_the_same_is_an_extension(config: RunConfig, tmp_path: Path) -> None:
    leave_work(claim(tmp_path / "run", config).path)
    advice = f"to go on for longer: zoo extend {tmp_path / 'run'} trainer.max_steps=8"
    for settings, told in {
        ("trainer.max_steps=8",): True,
        ("trainer.max_steps=2",): False,
        ("trainer.max_steps=8", "seed=7"): False,
        ("trainer.max_steps=null", "trainer.max_tokens=1e6", "schedule.warmup_steps=0"): False,
    }.items():
        with pytest.raises(ConfigError, match="different config") as caught:
            RunFolder(tmp_path / "run", tiny_run(tmp_path, "gpt", *settings))
        assert (advice in str(caught.value)) == told
        assert ("zoo extend" in str(caught.value)) == told


def test_fresh_moves_old_runs_aside(config: RunConfig, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    assert claim(tmp_path / "run", config, fresh=True).moved is None  # nothing was there
    for number in (1, 2):
        (tmp_path / "run" / "mark").write_text(str(number), encoding="utf-8")
        run = claim(tmp_path / "run", tiny_run(tmp_path, "gpt", f"seed={number}"), fresh=True)
        assert run.moved == tmp_path / f"run.old-{number}"
        assert (run.moved / "mark").read_text(encoding="utf-8") == str(number)
        assert not (run.path / "mark").exists()
    assert claim(tmp_path / "other", config, fresh=True).moved is None


def test_fresh_does_not_move_what_is_no_run_folder(config: RunConfig, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letters").write_text("dear", encoding="utf-8")
    with pytest.raises(CheckpointError, match="not a run folder"):
        RunFolder(tmp_path / "home", config, fresh=True)
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["letters"]


# ---------------------------------------------------------------------------------------------- places one cannot write


@pytest.mark.parametrize("fresh", [False, True])
def test_file_in_the_way(config: RunConfig, tmp_path: Path, fresh: bool) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    for path in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(CheckpointError, match=r"cannot write in the run folder .*--folder"):
            RunFolder(path, config, fresh)
    assert (tmp_path / "file").read_text(encoding="utf-8") == "in the way"


@pytest.mark.parametrize("fresh", [False, True])
def test_folder_without_permission(
    config: RunConfig, tmp_path: Path, fresh: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = claim(tmp_path / "run", config).path

    def refuse(file: Path, *arguments: object, **options: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(file))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(CheckpointError, match=r"cannot write in the run folder .*Permission denied"):
        RunFolder(path, config, fresh)


def test_other_ranks_only_know_where_it_is(config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    run = claim(tmp_path / "run", config, fresh=True)
    assert not run.is_owner
    assert not run.path.exists()


@pytest.mark.skipif(not FULL.exists(), reason="Linux only")
@pytest.mark.parametrize("name", ["config.yaml", "environment.json"])
def test_full_disk_is_said_with_the_file_and_what_to_do(name: str, config: RunConfig, tmp_path: Path) -> None:
    path = tmp_path / "run"
    path.mkdir()
    (path / f".{name}.tmp").symlink_to(FULL)
    with pytest.raises(CheckpointError, match=rf"cannot write {path / name}: No space left on device; free some space"):
        claim(path, config)
    claim(path, config)
