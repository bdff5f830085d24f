"""Own blocks and runs: recorded, needed to go on, the same on all ranks and in all workers."""

import json
import multiprocessing
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import zoo
from tests import own_blocks as files
from tests.cli.tiny import run_command
from tests.training.processes import Command
from tests.training.tiny import same, tiny_run, weights, write_config
from zoo.errors import CheckpointError, ConfigError
from zoo.training import imports
from zoo.training.datamodule import StepDataset
from zoo.training.metrics_file import read_metrics
from zoo.training.run import pretrain


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    with files.forgotten():
        yield


def train(folder: Path, *more: str, steps: int = 2) -> Any:
    """`zoo pretrain` of a tiny GPT with the norm "half" in a process that forgets what it imported."""
    with files.forgotten():
        config = write_config(folder, "gpt")
        return run_command(
            "pretrain", config, "--folder", folder / "run", "model.norm=half", f"trainer.max_steps={steps}", *more
        )


def test_run_records_what_it_was_made_with_and_goes_on_with_nothing_else(tmp_path: Path) -> None:
    path, run = files.write(tmp_path), tmp_path / "run"
    outcome = train(tmp_path)
    assert (outcome.status, "unknown norm 'half'" in outcome.err) == (2, True)
    outcome = train(tmp_path, "--import", str(path))
    assert outcome.status == 0, outcome.err
    (record,) = json.loads((run / "environment.json").read_text(encoding="utf-8"))["imports"]
    assert record["file"] == "my_blocks.py"
    kept = run / "imports" / f"{record['sha256'][:12]}-my_blocks.py"
    assert kept.read_text(encoding="utf-8") == files.NORM

    assert "finished already" in train(tmp_path, "--import", str(path)).err
    path.write_text(files.NORM + "# changed\n", encoding="utf-8")
    outcome = train(tmp_path, "--import", str(path))
    assert outcome.status == 2
    for words in (
        f"{run} was made with --import my_blocks.py (sha256 ",
        "that file is now another (sha256 ",
        "--fresh",
    ):
        assert words in outcome.err
    assert "finished already" in train(tmp_path, "--import", str(kept)).err
    assert train(tmp_path, "--import", str(path), "--fresh").status == 0


def test_run_made_without_goes_on_without(tmp_path: Path) -> None:
    config, path = write_config(tmp_path, "gpt"), files.write(tmp_path)
    arguments = ("pretrain", config, "--folder", tmp_path / "run", "trainer.max_steps=1")
    assert run_command(*arguments).status == 0
    outcome = run_command(*arguments, "--import", path)
    assert outcome.status == 2
    assert "was made without --import my_blocks.py (sha256 " in outcome.err


def test_differences_in_words() -> None:
    one, other = {"file": "a.py", "sha256": "1" * 64}, {"file": "b.py", "sha256": "2" * 64}
    imports.check_same_imports(Path("run"), [one, other], [other, one])
    with pytest.raises(ConfigError, match=r"made with --import a.py .*; a.py is not imported now, b.py was not"):
        imports.check_same_imports(Path("run"), [one], [other])


def test_whoever_opens_it_without_is_told_what_is_missing(tmp_path: Path) -> None:
    path, run = files.write(tmp_path), tmp_path / "run"
    assert train(tmp_path, "--import", str(path)).status == 0
    hint = "it was made with --import my_blocks.py (sha256 "
    with pytest.raises(CheckpointError, match="unknown norm 'half'") as caught:
        zoo.load(run)
    assert hint in str(caught.value)
    for arguments in (
        ("describe", run),
        ("evaluate", run),
        ("generate", run, "a"),
        ("describe", run / "config.yaml"),
        ("pretrain", run / "config.yaml"),
    ):
        outcome = run_command(*arguments)
        assert outcome.status in (1, 2)
        assert hint in outcome.err, arguments
    with files.forgotten():
        for arguments in (("describe", run), ("evaluate", run), ("generate", run, "a", "--max-new-tokens=2")):
            outcome = run_command("--import", path, *arguments)
            assert outcome.status == 0, outcome.err
            assert "note:" not in outcome.err


def test_model_opens_with_the_file_that_it_was_made_with_and_no_other(tmp_path: Path) -> None:
    path, run = files.write(tmp_path), tmp_path / "run"
    assert train(tmp_path, "--import", str(path)).status == 0
    edited = files.NORM.replace("* self.factor", "* self.factor * 2")
    for name in ("my_blocks.py", "copy.py"):  # in the place of the file, and under another name
        other = files.write(tmp_path / "run", edited, name)
        for arguments in (("describe", run), ("evaluate", run), ("generate", run, "a", "--max-new-tokens=2")):
            with files.forgotten():
                outcome = run_command(*arguments, "--import", other)
            assert outcome.status != 0
            assert "was made with --import my_blocks.py (sha256 " in outcome.err
            assert f"what is imported now is another file, {other} (sha256 " in outcome.err
    beside = files.write(tmp_path, files.OBJECTIVE, "more.py")  # takes nothing's place
    same = files.write(tmp_path, files.NORM, "renamed.py")
    with files.forgotten():
        outcome = run_command("evaluate", run, "--import", same, "--import", beside)
    assert outcome.status == 0, outcome.err


def test_model_without_a_part_from_a_file_opens_without_it_and_beside_others(tmp_path: Path) -> None:
    with files.forgotten():
        zoo.import_blocks(files.write(tmp_path, files.OBJECTIVE, "mine.py"))
        zoo.save(zoo.create_model("gpt-nano", vocab_size=8, dim=8, num_heads=2), tmp_path / "model")
    zoo.import_blocks(files.write(tmp_path))
    zoo.load(tmp_path / "model")
    zoo.import_blocks(files.write(tmp_path, files.OBJECTIVE + "# changed\n", "other.py"))
    with pytest.raises(CheckpointError, match=r"model was made with --import mine\.py .* another file, .*other\.py"):
        zoo.load(tmp_path / "model")


def test_evaluation_of_an_own_objective_needs_it_too(tmp_path: Path) -> None:
    path, config = files.write(tmp_path, files.OBJECTIVE), write_config(tmp_path, "gpt")
    objectives = "objectives={causal_lm: null, main: {kind: own, packing: none}}"
    with files.forgotten():
        arguments = ("pretrain", config, "--import", path, objectives, "--folder", tmp_path / "run")
        assert run_command(*arguments).status == 0
    assert (
        run_command("generate", tmp_path / "run", "a", "--max-new-tokens=2").status == 0
    )  # it is no part of the model
    outcome = run_command("evaluate", tmp_path / "run")
    assert outcome.status == 2
    assert "unknown objective 'own'" in outcome.err
    assert "it was made with --import my_blocks.py (sha256 " in outcome.err
    with files.forgotten():
        assert run_command("evaluate", tmp_path / "run", "--import", path).status == 0


def test_nothing_in_a_folder_is_executed(tmp_path: Path) -> None:
    path, run = files.write(tmp_path), tmp_path / "run"
    assert train(tmp_path, "--import", str(path)).status == 0
    for place in (run, run / "imports"):
        (place / "my_blocks.py").write_text("raise SystemExit('executed')", encoding="utf-8")
    for kept in (run / "imports").iterdir():
        kept.write_text("raise SystemExit('executed')", encoding="utf-8")
    with files.forgotten():
        assert run_command("describe", run, "--import", path).status == 0


def test_damaged_records_are_named(tmp_path: Path) -> None:
    (tmp_path / "environment.json").write_text('{"imports": [1]}', encoding="utf-8")
    with pytest.raises(ConfigError, match=r"environment\.json is damaged"):
        imports.recorded(tmp_path)
    (tmp_path / "imports.json").write_text('{"a": 1}', encoding="utf-8")
    from zoo.checkpoint.model import read_imports

    with pytest.raises(CheckpointError, match=r"imports\.json is damaged"):
        read_imports(tmp_path)


# ------------------------------------------------------------------------------------------------------------ processes


def test_ranks_with_other_files_are_refused(tmp_path: Path) -> None:
    zoo.import_blocks(files.write(tmp_path))
    theirs = [{"file": "my_blocks.py", "sha256": "0" * 64}]
    for first, refused in ((imports.records(), False), (theirs, True), ([], True)):
        strategy = SimpleNamespace(broadcast=lambda mine, first=first: first)
        trainer: Any = SimpleNamespace(strategy=strategy, global_rank=1)
        if refused:
            with pytest.raises(ConfigError, match=r"rank 1 has --import my_blocks.py .*: all ranks need the same"):
                imports.check_ranks(trainer)
        else:
            imports.check_ranks(trainer)


def length_of_a_step(dataset: StepDataset, answers: Any) -> None:
    """What a worker process does."""
    answers.put(dataset[0].num_tokens)


@pytest.mark.slow
def test_worker_that_is_started_anew_imports_first(tmp_path: Path) -> None:
    from zoo.training.run import _data_module, prepare

    zoo.import_blocks(files.write(tmp_path, files.OBJECTIVE))
    objectives = "objectives={causal_lm: null, main: {kind: own, packing: none}}"
    config = tiny_run(tmp_path, "gpt", objectives)
    data = _data_module(prepare(config, progress=False))
    dataset = StepDataset(data.rows, data.plan, 1, 0, 1)
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    process = context.Process(target=length_of_a_step, args=(dataset, answers))
    process.start()
    assert answers.get(timeout=300) == dataset[0].num_tokens
    process.join()
    assert process.exitcode == 0


def test_data_workers_and_a_run_from_python(tmp_path: Path) -> None:
    zoo.import_blocks(files.write(tmp_path))
    runs = [
        pretrain(tiny_run(tmp_path, "gpt", "model.norm=half", f"trainer.num_workers={n}"), tmp_path / str(n)).folder
        for n in (0, 2)
    ]
    assert same(*map(weights, runs))


@pytest.mark.slow
def test_second_rank_imports_too(tmp_path: Path) -> None:
    """Lightning starts it with the same command; it has the file, and it has it as the first rank had it."""
    path, config = files.write(tmp_path), write_config(tmp_path, "gpt")
    arguments = ("pretrain", config, "--import", path, "model.norm=half", "trainer.devices=2", "trainer.max_steps=2")
    process = Command((*arguments, "--folder", tmp_path / "run"), tmp_path)
    assert process.wait() == 0, process.output.read_text()
    assert [row["step"] for row in read_metrics(tmp_path / "run" / "metrics.csv")] == ["1", "2"]
    # a file that changes itself: the second rank finds another one than the first had
    changing = files.NORM + f"\nopen({str(path)!r}, 'a').write('# more\\n')\n"
    path.write_text(changing, encoding="utf-8")
    process = Command((*arguments, "--folder", tmp_path / "other"), tmp_path)
    assert process.wait() != 0
    assert "is not what the process that started this one had imported" in process.output.read_text()


# -------------------------------------------------------------------------------------------------------- the example


def test_example_trains_from_the_command_line_and_goes_on(tmp_path: Path) -> None:
    config = write_config(tmp_path, "gpt")
    example = files.write(tmp_path, files.EXAMPLE.read_text(encoding="utf-8"))
    settings = ("model.positions=kerple", "model.feed_forward={kind: maxout, pieces: 3}", "trainer.save_every=1")
    arguments = ("pretrain", config, "--import", example, *settings, "--folder", tmp_path / "run")
    with files.forgotten():
        assert run_command(*arguments).status == 0
    whole = weights(tmp_path / "run")
    (tmp_path / "run" / "result.json").unlink()  # killed after the third of four steps
    import shutil

    shutil.rmtree(tmp_path / "run" / "checkpoints" / "step-4")
    with files.forgotten():
        outcome = run_command(*arguments)
    assert outcome.status == 0, outcome.err
    assert "continues from step 3" in outcome.err
    assert same(weights(tmp_path / "run"), whole)
    assert any("schemes" in name and torch.is_tensor(tensor) for name, tensor in whole.items())
    example.write_text(example.read_text(encoding="utf-8") + "\n# changed\n", encoding="utf-8")
    with files.forgotten():
        outcome = run_command(*arguments)
    assert outcome.status == 2
    assert "that file is now another" in outcome.err


@pytest.mark.parametrize(
    "setting, words",
    [
        ("model.positions={kind: kerple, curve: power, start: 3.0}", "model.positions.start: 3.0 must be at most 2"),
        ("model.feed_forward={kind: maxout, pieces: 1}", "model.feed_forward.pieces: 1 must be at least 2"),
        ("model.feed_forward={kind: maxout, piece: 3}", "did you mean 'pieces'"),
    ],
)
def test_example_refuses(setting: str, words: str, tmp_path: Path) -> None:
    outcome = run_command("pretrain", write_config(tmp_path, "gpt"), "--import", files.EXAMPLE, setting)
    assert outcome.status == 2
    assert words in outcome.err
