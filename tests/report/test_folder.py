"""A run folder, read as data."""

import json
from pathlib import Path

import pytest

from tests.report.made_up import HOSTILE, add_samples, made_up_run
from zoo.errors import CheckpointError
from zoo.report.folder import read_log, read_run


def test_finished_run(tmp_path: Path) -> None:
    run = read_run(made_up_run(tmp_path / "gpt"))
    assert (run.name, run.steps, run.is_finished, run.remarks) == ("gpt", 399, True, [])
    assert run.state == "finished after 399 steps"
    assert run.amount == "409k tokens in 2 min 4 s"
    axes, losses = run.log.points("validation/loss")
    assert len(losses) == 10 == len(axes["steps"]) == len(axes["tokens"]) == len(axes["time"])


def test_unfinished_run_says_so(tmp_path: Path) -> None:
    run = read_run(made_up_run(tmp_path / "gpt", finished=False))
    assert run.state == "unfinished: step 399 of 400"


@pytest.mark.parametrize(
    "damage",
    ["411,42", "411,4x2,0,0,0,0,0,0,0,0,0,0,0", "\0\0\0", '"', "garbage" * 50_000, ",,,,,,,,,,,,", "nan,,,,,,,,,,,,"],
)
def test_damaged_line_is_left_out_and_counted(damage: str, tmp_path: Path) -> None:
    folder = made_up_run(tmp_path / "gpt")
    whole = read_log(folder / "metrics.csv")
    lines = (folder / "metrics.csv").read_text(encoding="utf-8").splitlines()
    (folder / "metrics.csv").write_text("\n".join([*lines[:50], damage, *lines[50:]]) + "\n", encoding="utf-8")
    run = read_run(folder)
    assert run.log.damaged == 1
    assert run.remarks == ["metrics.csv: 1 damaged line(s) left out"]
    assert run.log.columns["train/loss"].tolist() == whole.columns["train/loss"].tolist()


def test_unknown_folder(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is missing; name a run folder"):
        read_run(tmp_path / "nothing")
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match="is a file"):
        read_run(tmp_path / "file")


def test_folder_without_metrics(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(CheckpointError, match=r"no metrics.csv in .*found: notes.txt"):
        read_run(tmp_path)


def test_metrics_that_are_none_of_ours(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("epoch,loss\n1,2\n", encoding="utf-8")
    with pytest.raises(CheckpointError, match="first column must be step"):
        read_run(tmp_path)


@pytest.mark.parametrize("text", ["step,tokens\n", "step,tokens\n1\n"])
def test_metrics_without_a_row(text: str, tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text(text, encoding="utf-8")
    with pytest.raises(CheckpointError, match="has no row yet"):
        read_run(tmp_path)


@pytest.mark.parametrize("name", ["config.yaml", "environment.json", "result.json", "data.json", "samples.jsonl"])
@pytest.mark.parametrize("content", ["{]", "[1, 2]", "\0\0", '{"a": ' * 5000], ids=["torn", "list", "zeros", "deep"])
def test_damaged_file_is_remarked(name: str, content: str, tmp_path: Path) -> None:
    folder = made_up_run(tmp_path / "gpt")
    (folder / name).write_text(content, encoding="utf-8")
    run = read_run(folder)
    assert len(run.remarks) == 1
    assert run.remarks[0].startswith(name)


def test_missing_files(tmp_path: Path) -> None:
    folder = made_up_run(tmp_path / "gpt")
    for name in ("config.yaml", "environment.json", "result.json", "data.json"):
        (folder / name).unlink()
    run = read_run(folder)
    assert (run.config, run.environment, run.result, run.text) == ({}, {}, {}, {})
    assert run.remarks == ["config.yaml is missing: what the run was is not known"]


def test_samples(tmp_path: Path) -> None:
    folder = made_up_run(tmp_path / "gpt")
    add_samples(folder)
    with (folder / "samples.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"step": 3')
    run = read_run(folder)
    assert [sample.prompt for sample in run.samples] == ["Once", *HOSTILE, "a line\u2028separator"]
    assert [sample.truth for sample in run.samples][:2] == [None, HOSTILE[0]]
    assert run.remarks == ["samples.jsonl: 1 damaged line(s) left out"]


def test_loss_by_position(tmp_path: Path) -> None:
    folder = made_up_run(tmp_path / "gpt")
    (folder / "evaluation").mkdir()
    for step in (100, 20):
        bins = [{"start": 0, "stop": 1, "loss": 4.0, "count": 9}, {"start": 1, "stop": 4, "loss": step, "count": 9}]
        content = json.dumps({"step": step, "means": {}, "by_position": {"lm": bins}})
        (folder / "evaluation" / f"step-{step}.json").write_text(content, encoding="utf-8")
    for step, damaged in ((7, '["a"]'), (8, '{"lm": 5}'), (9, '{"lm": [{}]}')):
        (folder / "evaluation" / f"step-{step}.json").write_text(f'{{"by_position": {damaged}}}', encoding="utf-8")
    run = read_run(folder)
    assert [each.step for each in run.by_position] == [20, 100]
    places, losses = run.by_position[-1].curves["lm"]
    assert (places.tolist(), losses.tolist()) == ([1.0, 3.0], [4.0, 100.0])
    assert sorted(run.remarks) == [f"evaluation/step-{step}.json: 1 damaged line(s) left out" for step in (7, 8, 9)]
