"""A run from its config to its result, and from wherever it was left to the same result."""

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pytorch_lightning.loops.training_epoch_loop import _TrainingEpochLoop
from pytorch_lightning.trainer.connectors.signal_connector import _SignalConnector
from pytorch_lightning.utilities.rank_zero import rank_zero_only

import zoo
from tests.training.processes import Forked, wait_until_it_trains
from tests.training.tiny import (
    CLOCKS,
    DROPOUT,
    KINDS,
    counters,
    logs_without_clocks,
    moments,
    newest,
    same,
    tiny_run,
    weights,
    write_config,
    write_text,
)
from zoo.errors import CheckpointError, ConfigError, DataError, TrainingError, ZooError
from zoo.training import run as running
from zoo.training.conductor import Conductor
from zoo.training.interrupt import Interrupted
from zoo.training.run import prepare, pretrain, read_result
from zoo.training.run_folder import RunFolder

SETTINGS = (*DROPOUT, "trainer.max_steps=8", "trainer.save_every=3", "trainer.validate_every=2", "trainer.log_every=3")


@pytest.mark.parametrize("kind", KINDS)
def test_run_leaves_what_it_says(kind: str, tmp_path: Path) -> None:
    config = tiny_run(tmp_path, kind, "trainer.save_every=2", "trainer.log_every=2")
    result = pretrain(config, tmp_path / "here" / "run")
    assert sorted(path.name for path in result.folder.iterdir()) == [
        ".lock", "checkpoints", "config.yaml", "data.json", "environment.json", "evaluation", "metrics.csv",
        "report.html", "result.json", "samples.jsonl", "tokenizer",
    ]  # fmt: skip
    assert sorted(path.name for path in (result.folder / "checkpoints").iterdir()) == ["step-2", "step-4"]
    assert {path.name for path in tmp_path.iterdir()} == {"cache", "here", "text.txt", f"{kind}.yaml"}  # no litter
    assert result.steps == 4
    assert result.parameters == zoo.load(result.folder).model.num_parameters
    assert result.tokens > 0
    assert result.seconds > 0
    assert result.metrics["train/loss"] != result.first_loss > 0
    assert "validation/loss" in result.metrics
    assert read_result(result.folder) == result._replace(already_finished=True)


def test_folder_is_named_after_the_run(tmp_path: Path) -> None:
    result = pretrain(tiny_run(tmp_path, "gpt", "name=mine", "trainer.max_steps=1"))
    assert result.folder == Path("runs/mine")
    assert (tmp_path / "runs" / "mine" / "result.json").exists()


def test_same_seed_same_run_and_another_seed_another(tmp_path: Path) -> None:
    for name, seed in (("one", 0), ("two", 0), ("three", 1)):
        pretrain(tiny_run(tmp_path, "t5", *DROPOUT, f"seed={seed}"), tmp_path / name)
    assert same(weights(tmp_path / "one"), weights(tmp_path / "two"))
    assert logs_without_clocks(tmp_path / "one") == logs_without_clocks(tmp_path / "two")
    assert not same(weights(tmp_path / "one"), weights(tmp_path / "three"))


def test_workers_change_nothing(tmp_path: Path) -> None:
    for workers in (0, 2):
        pretrain(tiny_run(tmp_path, "bert", *SETTINGS, f"trainer.num_workers={workers}"), tmp_path / str(workers))
    assert same(weights(tmp_path / "0"), weights(tmp_path / "2"))
    assert counters(tmp_path / "0") == counters(tmp_path / "2")


def test_finished_run_is_not_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tiny_run(tmp_path, "gpt")
    first = pretrain(config, tmp_path / "run")
    monkeypatch.setattr(running, "_train", None)
    again = pretrain(config, tmp_path / "run")
    assert again == first._replace(already_finished=True)


def test_nothing_held_out(tmp_path: Path) -> None:
    result = pretrain(tiny_run(tmp_path, "gpt", "data.validation_fraction=0"), tmp_path / "run")
    assert "validation/loss" not in result.metrics
    assert "train/loss" in result.metrics


def test_loss_goes_down(tmp_path: Path) -> None:
    result = pretrain(
        tiny_run(tmp_path, "gpt", "trainer.max_steps=60", "optimizer.learning_rate=0.01"), tmp_path / "run"
    )
    assert result.metrics["train/loss"] < result.first_loss - 1
    assert result.metrics["validation/loss"] < result.first_loss - 1


# ------------------------------------------------------------------------------------------------------------- going on


@pytest.mark.parametrize("step", range(1, 9))
def test_broken_at_any_step_it_ends_the_same(
    step: int, break_at: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tiny_run(tmp_path, "bert", *SETTINGS)
    pretrain(config, tmp_path / "unbroken")
    break_at(config, tmp_path / "run", step)
    capsys.readouterr()
    pretrain(config, tmp_path / "run")
    saved = (step - 1) // 3 * 3
    assert (f"continues from step {saved}\n" in capsys.readouterr().err) == (saved > 0)
    check_same_end(tmp_path)


def test_running_statistics_survive_a_break(break_at: Any, tmp_path: Path) -> None:
    config = tiny_run(tmp_path, "gpt", *SETTINGS, "model.norm={kind: batch_norm}")
    pretrain(config, tmp_path / "unbroken")
    assert any(name.endswith("running_variance") for name in weights(tmp_path / "unbroken"))
    break_at(config, tmp_path / "run", 5)
    pretrain(config, tmp_path / "run")
    check_same_end(tmp_path)


def test_biases_of_experts_survive_a_break(break_at: Any, tmp_path: Path) -> None:
    config = tiny_run(tmp_path, "experts", *SETTINGS)
    pretrain(config, tmp_path / "unbroken")
    assert any(name.endswith("balancing.bias") for name in weights(tmp_path / "unbroken"))
    break_at(config, tmp_path / "run", 5)
    pretrain(config, tmp_path / "run")
    check_same_end(tmp_path)


@pytest.mark.parametrize("kind", ["bert", "experts", "t5"])
def test_activations_made_again_from_some_step_on(kind: str, break_at: Any, tmp_path: Path) -> None:
    """As one would after running out of memory: to the same end, bit for bit."""
    pretrain(tiny_run(tmp_path, kind, *SETTINGS), tmp_path / "unbroken")
    break_at(tiny_run(tmp_path, kind, *SETTINGS), tmp_path / "run", 5)
    pretrain(tiny_run(tmp_path, kind, *SETTINGS, "trainer.recompute=blocks"), tmp_path / "run")
    check_same_end(tmp_path)


def check_same_end(folder: Path) -> None:
    run, unbroken = folder / "run", folder / "unbroken"
    assert same(weights(run), weights(unbroken))
    assert same(moments(run), moments(unbroken))
    assert counters(run) == counters(unbroken)
    assert logs_without_clocks(run) == logs_without_clocks(unbroken)
    assert newest(run).name == newest(unbroken).name
    results = [json.loads((path / "result.json").read_text(encoding="utf-8")) for path in (run, unbroken)]
    for result in results:
        for name in ("folder", "seconds"):
            result.pop(name)
        for name in CLOCKS:
            result["metrics"].pop(name, None)
    assert results[0] == results[1]


def flip_a_bit(checkpoint: Path) -> None:
    path = checkpoint / "model" / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def cut_short(checkpoint: Path) -> None:
    os.truncate(checkpoint / "trainer.safetensors", 100)


def lose_the_manifest(checkpoint: Path) -> None:
    (checkpoint / "manifest.json").unlink()


def empty(checkpoint: Path) -> None:
    shutil.rmtree(checkpoint)
    checkpoint.mkdir()


@pytest.mark.parametrize("damage", [flip_a_bit, cut_short, lose_the_manifest, empty])
def test_damaged_checkpoint_is_passed_over(damage: Callable[[Path], None], break_at: Any, tmp_path: Path) -> None:
    """And replaced when its step is reached again."""
    config = tiny_run(tmp_path, "gpt", *SETTINGS)
    pretrain(config, tmp_path / "unbroken")
    break_at(config, tmp_path / "run", 7)
    assert newest(tmp_path / "run").name == "step-6"
    damage(newest(tmp_path / "run"))
    with pytest.warns(UserWarning, match=r"passing over step-6, going on from step-3"):
        pretrain(config, tmp_path / "run")
    check_same_end(tmp_path)
    assert sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir()) == ["step-6", "step-8"]
    assert zoo.load(tmp_path / "run" / "checkpoints" / "step-6")


def test_damaged_last_checkpoint_is_made_again(tmp_path: Path) -> None:
    config = tiny_run(tmp_path, "gpt", *SETTINGS)
    pretrain(config, tmp_path / "unbroken")
    pretrain(config, tmp_path / "run")
    (tmp_path / "run" / "result.json").unlink()
    flip_a_bit(newest(tmp_path / "run"))
    with pytest.warns(UserWarning, match=r"passing over step-8, going on from step-6"):
        pretrain(config, tmp_path / "run")
    check_same_end(tmp_path)


def test_no_whole_checkpoint_is_left(break_at: Any, tmp_path: Path) -> None:
    """Work of hours is never begun anew without a word."""
    config = tiny_run(tmp_path, "gpt", *SETTINGS)
    break_at(config, tmp_path / "run", 5)
    flip_a_bit(newest(tmp_path / "run"))
    with pytest.raises(CheckpointError, match=r"step-3.*no older checkpoint is whole.*--fresh"):
        pretrain(config, tmp_path / "run")
    assert pretrain(config, tmp_path / "run", fresh=True).steps == 8


def test_changed_corpus_is_refused(break_at: Any, tmp_path: Path) -> None:
    config = tiny_run(tmp_path, "gpt", *SETTINGS)
    break_at(config, tmp_path / "run", 5)
    text = (tmp_path / "text.txt").read_text(encoding="utf-8")
    write_text(tmp_path / "text.txt", seed=1)
    with pytest.raises(DataError, match=r"the text changed since .* was begun; put it back, or .*--fresh"):
        pretrain(config, tmp_path / "run")
    (tmp_path / "text.txt").write_text(text, encoding="utf-8")
    assert pretrain(config, tmp_path / "run").steps == 8


def test_changed_tokenizer_is_refused(break_at: Any, tmp_path: Path) -> None:
    """A tokenizer from a file, which is not what it was."""
    config = tiny_run(tmp_path, "gpt", *SETTINGS)
    break_at(config, tmp_path / "run", 5)
    prepared = prepare(config, progress=False)
    conductor = Conductor(config, SimpleNamespace(path="run"), None, None, prepared.fingerprints)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="the tokenizer changed"):
        conductor.load_state_dict({"fingerprints": {**prepared.fingerprints, "tokenizer": "another"}})


def test_second_process_on_a_folder_is_refused(tmp_path: Path) -> None:
    config = write_config(tmp_path, "gpt")
    arguments = ("pretrain", config, "trainer.max_steps=100000", "--folder", "run")
    process = Forked(arguments, tmp_path)
    wait_until_it_trains(process)
    with pytest.raises(CheckpointError, match=rf"in use by process {process.pid} on"):
        pretrain(tiny_run(tmp_path, "gpt", "trainer.max_steps=100000"), tmp_path / "run")
    os.kill(process.pid, signal.SIGINT)
    assert process.wait() == 130


def test_unfinished_run_has_no_result(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="not finished"):
        read_result(tmp_path)


# ---------------------------------------------------------------------------------------- what is refused before a step


@pytest.mark.parametrize(
    "setting, words",
    [
        ("model.vocab_size=50", "model.vocab_size: 50 is less than"),
        ("model.embedding.padding_token=5", "model.embedding.padding_token: 5 is not the tokenizer's"),
        ("model.max_length=100000", "one row needs 100000"),
        ("data.source.path=gone.txt", "gone.txt"),
    ],
)
def test_what_does_not_fit_is_said_before_anything_is_trained(setting: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(ZooError, match=words):
        pretrain(tiny_run(tmp_path, "gpt", setting), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    assert pretrain(tiny_run(tmp_path, "gpt"), tmp_path / "run").steps == 4  # mended, in the same folder


@pytest.mark.parametrize(
    "content, words",
    [(b"", "corpus is empty"), (b" \n\n ", "corpus is empty"), (b"good\n\n\xff\xfe is no text", "text.txt.*UTF-8")],
)
def test_text_that_is_none(content: bytes, words: str, tmp_path: Path) -> None:
    config = tiny_run(tmp_path, "gpt")
    (tmp_path / "text.txt").write_bytes(content)
    with pytest.raises(DataError, match=words):
        pretrain(config, tmp_path / "run")


def test_a_decoder_must_take_its_rows(tmp_path: Path) -> None:
    with pytest.raises(ZooError, match=r"model\.decoder\.max_length: 5 is too short for objectives\.\w+, whose rows"):
        pretrain(tiny_run(tmp_path, "t5", "model.decoder.max_length=5"), tmp_path / "run")
    assert pretrain(tiny_run(tmp_path, "t5", "model.decoder.max_length=64"), tmp_path / "run").steps == 4


def test_vocabulary_may_be_wider_than_the_tokenizers(tmp_path: Path) -> None:
    result = pretrain(tiny_run(tmp_path, "gpt", "model.vocab_size=320", "trainer.max_steps=1"), tmp_path / "run")
    assert zoo.load(result.folder).config.vocab_size == 320


# ------------------------------------------------------------------------------------------------------------ Lightning


def test_names_inside_lightning_that_are_replaced_exist() -> None:
    assert callable(_TrainingEpochLoop._broadcast_sigterm_tensor)
    assert callable(_SignalConnector.register_signal_handlers)


@pytest.mark.parametrize("error", [Interrupted(signal.SIGTERM, 3), TrainingError("not finite")])
def test_what_all_ranks_know_the_first_reports(
    error: ZooError, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise error

    monkeypatch.setattr(running, "_train", fail)
    config = tiny_run(tmp_path, "gpt")
    with pytest.raises(type(error)):
        pretrain(config, tmp_path / "run")
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    with pytest.raises(SystemExit) as caught:
        pretrain(config, tmp_path / "run")
    assert caught.value.code == 0


@pytest.mark.parametrize("error, kills", [(Interrupted(2, 3), []), (CheckpointError("disk full"), [signal.SIGKILL])])
def test_error_of_one_rank_does_not_leave_the_others_waiting(error: ZooError, kills: list[int], tmp_path: Path) -> None:
    def fit(*arguments: object, **options: object) -> None:
        raise error

    killed: list[int] = []
    launcher = SimpleNamespace(kill=killed.append)
    trainer: Any = SimpleNamespace(fit=fit, strategy=SimpleNamespace(launcher=launcher))
    module = prepare(tiny_run(tmp_path, "gpt"), progress=False).module
    with pytest.raises(type(error)):
        running._fit(trainer, module, None, None)  # type: ignore[arg-type]
    assert killed == kills


def test_ranks_that_nobody_started_are_refused_before_the_folder_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "check_launch", lambda *arguments: (_ for _ in ()).throw(ConfigError("no")))
    with pytest.raises(ConfigError):
        pretrain(tiny_run(tmp_path, "gpt"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_run_says_that_its_model_sees_the_future(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for number, settings in enumerate((("model.norm=batch_norm",), ())):
        pretrain(tiny_run(tmp_path, "gpt", "trainer.max_steps=1", *settings), tmp_path / str(number))
        assert ("note: batch_norm normalizes by" in capfd.readouterr().err) == bool(settings)


def test_a_run_that_fails_before_its_first_step_leaves_no_folder_of_its_own(tmp_path: Path) -> None:
    config = tiny_run(tmp_path, "gpt", f"data.source.path={tmp_path / 'gone.txt'}")
    run = tmp_path / "runs" / "one"
    with pytest.raises(DataError, match=r"gone\.txt"):
        pretrain(config, run)
    assert list((tmp_path / "runs").iterdir()) == []
    run.mkdir()  # one that was there before stays
    with pytest.raises(DataError, match=r"gone\.txt"):
        pretrain(config, run)
    assert (run / "config.yaml").is_file()


def test_what_somebody_else_puts_into_the_folder_of_a_run_that_fails_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(config: object, run: RunFolder, corpus: object) -> None:
        (run.path / "letters").write_text("dear", encoding="utf-8")
        raise DataError("no text")

    monkeypatch.setattr(running, "_train", fail)
    with pytest.raises(DataError, match="no text"):
        pretrain(tiny_run(tmp_path, "gpt"), tmp_path / "run")
    assert {"letters", "config.yaml"} <= {path.name for path in (tmp_path / "run").iterdir()}
