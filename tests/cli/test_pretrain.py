"""`zoo pretrain`, from the command to the summary."""

import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.tiny import MODELS, Command, Workshop
from tests.source_tree import ROOT
from zoo.cli.pretrain import RANKS, is_first_rank


@pytest.mark.parametrize("family", MODELS)
def test_trains_and_sums_up(workshop: Workshop, family: str) -> None:
    status, out, err = workshop.trained[family]
    assert status == 0, err
    folder = Path("runs") / f"tiny-{family}"
    for words in ("family", family, "parameters", "loss, first → last", "validation loss", "tokens/s", str(folder)):
        assert words in out
    assert "zoo evaluate" in out
    assert (workshop.folder / folder / "config.yaml").is_file()
    assert "loss" in err  # progress


def test_suggested_commands_work(workshop: Workshop, command: Command) -> None:
    for family in MODELS:
        for line in workshop.trained[family].out.partition("next:")[2].strip().splitlines():
            program, *arguments = shlex.split(line)
            outcome = command(*arguments)
            assert (program, outcome.status) == ("zoo", 0), outcome.err


def test_finished_run_says_so(workshop: Workshop, command: Command) -> None:
    status, out, err = command("pretrain", "tiny-decoder.yaml")
    assert status == 0
    assert "finished already" in err
    assert "validation loss" in out


def test_folder_and_fresh(workshop: Workshop, command: Command, tmp_path: Path) -> None:
    arguments = ("pretrain", "tiny-decoder.yaml", "--folder", tmp_path / "here", "trainer.max_steps=1")
    assert command(*arguments).status == 0
    first = (tmp_path / "here" / "result.json").stat().st_mtime_ns
    outcome = command(*arguments, "--fresh")
    assert outcome.status == 0, outcome.err
    assert f"moved the older run to {tmp_path / 'here.old-1'}\n" in outcome.err
    assert (tmp_path / "here" / "result.json").stat().st_mtime_ns > first
    assert any(path.name.startswith("here.old") for path in tmp_path.iterdir())


def test_run_that_failed_on_its_text_is_mended_with_what_the_error_says(
    workshop: Workshop, command: Command, tmp_path: Path
) -> None:
    """Own text with BERT: one file is one document, in which there is no second one to draw a sentence from."""
    text = tmp_path / "books" / "own.text.bak"
    text.parent.mkdir()
    text.write_text((workshop.folder / "text.txt").read_text(encoding="utf-8"), encoding="utf-8")
    arguments = ("pretrain", "tiny-encoder.yaml", "--folder", tmp_path / "run", "data.source.document=file")
    status, _, err = command(*arguments, f"data.source.path={text.parent}")
    assert status == 1
    assert f"'{text.parent}/*'" in err
    status, _, err = command(*arguments, f"data.source.path={text.parent}/*")
    assert status == 1
    without = err.rpartition(": ")[2].split()
    assert without == ["objectives.next_sentence=null", "model.heads.next_sentence=null"]
    assert "data.source.document=blank_line" in err
    for mended in (["data.source.document=blank_line"], [*without, "--fresh"]):
        outcome = command(*arguments, f"data.source.path={text.parent}/*", *mended)
        assert outcome.status == 0, outcome.err


def test_folder_of_another_config_is_refused_with_the_difference(workshop: Workshop, command: Command) -> None:
    status, out, err = command("pretrain", "tiny-decoder.yaml", "optimizer.learning_rate=0.5")
    assert (status, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert "optimizer.learning_rate" in err
    assert "0.5" in err
    assert "--fresh" in err


def test_folder_that_cannot_be_written(workshop: Workshop, command: Command, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    status, _, err = command("pretrain", "tiny-decoder.yaml", "--folder", tmp_path / "file" / "run")
    assert status == 1
    assert len(err.splitlines()) == 1
    assert "cannot write in the run folder" in err


@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="nothing is unwritable for root")
def test_folder_without_permission(workshop: Workshop, command: Command, tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    status, _, err = command("pretrain", "tiny-decoder.yaml", "--folder", tmp_path / "locked" / "run")
    assert status == 1
    assert "cannot write in the run folder" in err


@pytest.mark.slow
def test_stopped_by_a_signal_and_continued(workshop: Workshop) -> None:
    words = ["pretrain", "tiny-decoder.yaml", "name=stopped", "trainer.max_steps=1000000", "trainer.validate_every=10"]
    steps = []
    for number, status in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"}
        process = subprocess.Popen(
            [sys.executable, "-m", "zoo", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        assert process.stderr is not None
        begun = next(line for line in process.stderr if line.startswith("stopped "))
        process.send_signal(number)
        out, err = process.communicate(timeout=300)
        assert (process.returncode, out) == (status, ""), begun + err
        last = err.splitlines()[-1]
        assert "the same command continues" in last
        steps.append(int(last.partition("after step ")[2].partition(";")[0]))
    assert 0 < steps[0] < steps[1]


@pytest.mark.parametrize("name", RANKS)
def test_only_the_first_rank_talks(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for other in RANKS:
        monkeypatch.delenv(other, raising=False)
    assert is_first_rank()
    monkeypatch.setenv(name, "0")
    assert is_first_rank()
    monkeypatch.setenv(name, "1")
    assert not is_first_rank()


def test_mistakes_are_told_before_what_trains_is_imported(workshop: Workshop) -> None:
    """Lightning and what it brings take seconds."""
    program = (
        "import sys; from zoo.cli.main import main\n"
        "pretrain = ['pretrain', 'tiny-decoder.yaml', '--folder', 'runs/none']\n"
        "for typed in ([*pretrain, 'optimizer.lr=1'], [*pretrain, 'seed'], [*pretrain, 'data.source.path=gone.txt'],\n"
        "              ['extend', 'runs/tiny-decoder'], ['pretrain', 'tiny-decoder.yaml']):\n"
        "    print(main(typed), 'pytorch_lightning' in sys.modules, file=sys.stderr)\n"
    )
    variables = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=workshop.folder, env=variables, capture_output=True, text=True, check=True
    )
    told = [line for line in done.stderr.splitlines() if line.endswith(("True", "False"))]
    assert told == ["2 False", "2 False", "1 False", "2 False", "0 False"], done.stderr
