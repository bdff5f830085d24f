"""TensorBoard: a copy of metrics.csv without a gap or a duplicate."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from tests.training.tensorboard import scalars
from tests.training.tiny import CLOCKS, same, tiny_run, weights
from zoo.errors import ConfigError
from zoo.training.metrics_file import MetricsFile, read_metrics
from zoo.training.run import pretrain
from zoo.training.tensorboard_log import TensorBoardLog

ENABLED = "logging.tensorboard=true"


def test_has_what_the_csv_has(tmp_path: Path) -> None:
    settings = ("trainer.validate_every=3", "trainer.log_every=2", "trainer.max_steps=7")
    plain = pretrain(tiny_run(tmp_path, "bert", *settings), tmp_path / "plain").folder
    run = pretrain(tiny_run(tmp_path, "bert", *settings, ENABLED), tmp_path / "run").folder
    assert same(weights(run), weights(plain))
    assert not (plain / "tensorboard").exists()
    rows = read_metrics(run / "metrics.csv")
    found = scalars(run)
    assert set(found) == set(rows[0]) - {"step", *CLOCKS}
    for name, points in found.items():
        expected = [(int(row["step"]), float(row[name])) for row in rows if row[name]]
        assert [step for step, _ in points] == [step for step, _ in expected]
        assert [value for _, value in points] == pytest.approx([value for _, value in expected])


def test_is_made_anew_from_the_csv_that_a_run_goes_on_with(tmp_path: Path) -> None:
    """Rows that a kill left behind are gone, rows from before it was switched on are there."""
    columns = ["step", "seconds", "loss"]
    for steps, after in (((1, 2, 3), 0), ((3, 4), 2)):
        file = MetricsFile(tmp_path / "metrics.csv", columns, after)
        log = TensorBoardLog(tmp_path)
        for step in steps:
            row = {"step": step, "seconds": float(step), "loss": 1 / step + after}
            file.write(row)
            log.write(row)
        file.close()
        log.close()
    found = scalars(tmp_path)["loss"]
    assert [step for step, _ in found] == [1, 2, 3, 4]
    assert [value for _, value in found] == pytest.approx([1, 0.5, 1 / 3 + 2, 0.25 + 2], rel=1e-5)


def test_what_is_no_number_is_left_out(tmp_path: Path) -> None:
    MetricsFile(tmp_path / "metrics.csv", ["step", "loss"], 0).close()
    log = TensorBoardLog(tmp_path)
    log.write({"step": 1, "loss": float("nan")})
    log.write({"step": 2, "loss": 3.0})
    log.close()
    assert scalars(tmp_path)["loss"] == [(2, 3.0)]


def test_missing_package_is_said_before_anything_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "tensorboard" else find(name, *rest)
    )
    with pytest.raises(ConfigError, match=r"logging\.tensorboard: .*pip install '\.\[tensorboard\]' in the clone"):
        pretrain(tiny_run(tmp_path, "gpt", ENABLED), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_library_is_imported_where_it_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from zoo.training import tensorboard_log

    def refuse(*arguments: Any) -> None:
        raise AssertionError("not wanted")

    monkeypatch.setattr(tensorboard_log.TensorBoardLog, "__init__", refuse)
    pretrain(tiny_run(tmp_path, "gpt", "trainer.max_steps=1"), tmp_path / "run")
