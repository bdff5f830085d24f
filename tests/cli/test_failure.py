"""From an exception to a sentence and an exit status."""

import signal

import pytest
import typer

from zoo.cli.failure import exit_status, sentence
from zoo.errors import CheckpointError, ConfigError, DataError, TrainingError
from zoo.training.interrupt import Interrupted

CASES = [
    (ConfigError("0 must be at least 1", "model.dim"), 2, "model.dim: 0 must be at least 1"),
    (typer.BadParameter("'x' is not a number"), 2, "Invalid value: 'x' is not a number; see --help"),
    (DataError("the corpus is empty"), 1, "the corpus is empty"),
    (CheckpointError("weights\nare \n missing"), 1, "weights are missing"),
    (ConfigError("no", "a", [ConfigError("not\nso", "b")]), 2, "2 settings are wrong:\n  a: no;\n  b: not so"),
    (TrainingError("the loss is not finite"), 1, "the loss is not finite"),
    (FileNotFoundError(2, "No such file or directory", "a.txt"), 1, "a.txt: No such file or directory"),
    (OSError(28, "No space left on device"), 1, "No space left on device"),
    (ValueError("odd"), 1, "ValueError: odd (unexpected; --debug shows where)"),
    (KeyboardInterrupt(), 130, "stopped by Ctrl-C"),
]


@pytest.mark.parametrize("error, status, words", CASES, ids=[type(case[0]).__name__ for case in CASES])
def test_failure(error: BaseException, status: int, words: str) -> None:
    assert (exit_status(error), sentence(error)) == (status, words)


@pytest.mark.parametrize("number, status", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped_run(number: int, status: int) -> None:
    error = Interrupted(number, 7)
    assert exit_status(error) == status
    assert "after step 7" in sentence(error)
