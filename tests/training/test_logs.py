"""All logs of a run: what each of them is told, and what is forgotten when a run goes on."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.training.tiny import tiny_run
from zoo.training.evaluation import Bin, Evaluation
from zoo.training.logs import Logs
from zoo.training.metrics_file import MetricsFile, read_metrics
from zoo.training.progress import LineProgress
from zoo.training.samples import read_samples

EVALUATION = Evaluation({"loss": 1.0}, {"causal_lm": [Bin(0, 4, 1.0, 3)]})


def opened(folder: Path, after_step: int, *settings: str) -> Logs:
    run = SimpleNamespace(path=folder, metrics=folder / "metrics.csv")
    progress = LineProgress("run", 0, 10)
    return Logs(tiny_run(folder, "gpt", *settings), run, ["step", "seconds", "loss"], after_step, progress)  # type: ignore[arg-type]


def test_what_comes_after_the_step_is_written_again(tmp_path: Path) -> None:
    for after, steps in ((0, (1, 2, 3)), (2, (3, 4))):
        logs = opened(tmp_path, after)
        for step in steps:
            logs.write_validation(step, EVALUATION, [{"prompt": "a", "output": str(after)}])
            logs.write({"step": step, "seconds": 1.0, "loss": after})
        logs.close()
    assert [(row["step"], row["loss"]) for row in read_metrics(tmp_path / "metrics.csv")] == [
        ("1", "0"), ("2", "0"), ("3", "2"), ("4", "2"),
    ]  # fmt: skip
    assert [(row["step"], row["output"]) for row in read_samples(tmp_path / "samples.jsonl")] == [
        (1, "0"), (2, "0"), (3, "2"), (4, "2"),
    ]  # fmt: skip
    files = sorted((tmp_path / "evaluation").iterdir())
    assert [json.loads(path.read_text(encoding="utf-8"))["step"] for path in files] == [1, 2, 3, 4]


def test_sync_reaches_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr("os.fsync", synced.append)
    logs = opened(tmp_path, 0)
    logs.sync()
    assert len(synced) == 1
    logs.close()
    assert MetricsFile is type(logs.file)
