"""Ctrl-C and SIGTERM: the step is finished, everything saved, the exit status tells, and the same command goes on."""

import os
import signal
import threading
import time
from functools import partial
from pathlib import Path

import pytest

from tests.training.processes import (
    PATIENCE,
    Command,
    Forked,
    Process,
    hold_at_step,
    wait_until,
    wait_until_it_trains,
)
from tests.training.tiny import DROPOUT, counters, moments, rows_without_clocks, same, tiny_run, weights, write_config
from zoo.checkpoint.folder import verify_folder
from zoo.checkpoint.model import TRAINING_FORMAT
from zoo.cli.failure import exit_status
from zoo.training import interrupt
from zoo.training.interrupt import SIGNALS, Interrupted, StopFlag, agreed, ignore_in_worker
from zoo.training.run import pretrain

SETTINGS = (*DROPOUT, "trainer.accumulate=2", "trainer.log_every=3", "trainer.validate_every=10")


GO_ON = "go-on"
"""A file that a save of the child waits for."""


def wait_in_saves() -> None:
    """For the child: a save waits half done until it may go on, so that signals hit it."""
    from zoo.checkpoint import folder

    def wait(point: str) -> None:
        end = time.monotonic() + PATIENCE
        while point == "before manifest" and not Path(GO_ON).exists() and time.monotonic() < end:
            time.sleep(0.01)

    folder.fault = wait


def stop_and_check(process: Process, folder: Path, number: int) -> int:
    """Signals the process once it has logged; gives the step that it saved at."""
    wait_until_it_trains(process)
    os.kill(process.pid, number)
    assert process.wait() == 128 + number, process.output.read_text()
    said = process.output.read_text()
    assert f"stopped by {'Ctrl-C' if number == signal.SIGINT else 'SIGTERM'} after step" in said
    assert "the same command continues" in said
    assert "Traceback" not in said
    assert "unfinished: step" in (folder / "run" / "report.html").read_text(encoding="utf-8")
    (checkpoint,) = (folder / "run" / "checkpoints").glob("step-*")
    verify_folder(checkpoint, format=TRAINING_FORMAT)
    assert f"after step {checkpoint.name.removeprefix('step-')};" in said
    return int(checkpoint.name.removeprefix("step-"))


@pytest.mark.parametrize("number, workers", [(signal.SIGINT, 0), (signal.SIGTERM, 2)])
def test_stopped_run_goes_on_to_the_same_end(number: int, workers: int, tmp_path: Path) -> None:
    unbroken = tiny_run(tmp_path, "bert", *SETTINGS, "trainer.max_steps=60")
    pretrain(unbroken, tmp_path / "unbroken")
    arguments = ("pretrain", write_config(tmp_path, "bert"), "--folder", "run", *SETTINGS, "trainer.max_steps=60")
    process = Forked((*arguments, f"trainer.num_workers={workers}"), tmp_path, partial(hold_at_step, 40))
    step = stop_and_check(process, tmp_path, number)
    assert 0 < step <= 40
    assert Forked((*arguments, f"trainer.num_workers={2 - workers}"), tmp_path).wait() == 0
    assert same(weights(tmp_path / "run"), weights(tmp_path / "unbroken"))
    assert same(moments(tmp_path / "run"), moments(tmp_path / "unbroken"))
    assert counters(tmp_path / "run") == counters(tmp_path / "unbroken")
    assert rows_without_clocks(tmp_path / "run") == rows_without_clocks(tmp_path / "unbroken")
    finished = Forked(arguments, tmp_path)
    assert finished.wait() == 0
    assert "finished already" in finished.output.read_text()


def test_real_command_stops_on_sigterm_to_all_its_processes(tmp_path: Path) -> None:
    """`timeout` and batch systems signal the whole group: data workers must outlive the step and the save."""
    arguments = ("pretrain", write_config(tmp_path, "gpt"), "--folder", "run", "trainer.max_steps=100000")
    # The grace is beyond our patience: a run that waited for its workers to die of it would not end.
    program = f"import sys; from zoo.training import interrupt; interrupt.WORKER_GRACE_SECONDS = {10 * PATIENCE}; "
    program += "from zoo.cli.main import main; sys.exit(main())"
    process = Command((*arguments, "trainer.num_workers=2"), tmp_path, ("-c", program))
    wait_until_it_trains(process)
    os.killpg(process.pid, signal.SIGTERM)
    assert process.wait() == 128 + signal.SIGTERM, process.output.read_text()
    assert "stopped by SIGTERM" in process.output.read_text()
    assert len(list((tmp_path / "run" / "checkpoints").glob("step-*"))) == 1


def test_second_signal_is_ignored_during_the_save_and_the_third_ends_at_once(tmp_path: Path) -> None:
    arguments = ("pretrain", write_config(tmp_path, "gpt"), "--folder", "run", "trainer.max_steps=100000")
    saving = tmp_path / "run" / "checkpoints"
    for signals, status in ((2, 128 + signal.SIGINT), (3, 128 + signal.SIGTERM)):
        (tmp_path / GO_ON).unlink(missing_ok=True)
        process = Forked(arguments, tmp_path, wait_in_saves)
        wait_until_it_trains(process)
        os.kill(process.pid, signal.SIGINT)
        wait_until(lambda: list(saving.glob(".writing*")), process)
        for number in (signal.SIGINT, signal.SIGTERM)[: signals - 1]:
            os.kill(process.pid, number)
        if signals == 2:
            (tmp_path / GO_ON).touch()
        assert process.wait() == status
        whole = len(list(saving.glob("step-*")))
        assert whole == 1  # of the first process; the second was cut short
    assert Forked((*arguments, "--fresh", "trainer.max_steps=2"), tmp_path).wait() == 0


def test_ctrl_c_before_the_run_begins(tmp_path: Path) -> None:
    """While the text is read there is nothing to save: a plain stop with the usual status."""
    process = Forked(("pretrain", write_config(tmp_path, "gpt"), "--folder", "run"), tmp_path, interrupt_tokenizing)
    assert process.wait() == 128 + signal.SIGINT
    assert process.output.read_text().strip().endswith("stopped by Ctrl-C")


def interrupt_tokenizing() -> None:
    """For the child: Ctrl-C comes while the corpus is loaded."""
    from zoo.training import run

    run.load_corpus = lambda *arguments: os.kill(os.getpid(), signal.SIGINT) or time.sleep(5)  # type: ignore[assignment]


# ------------------------------------------------------------------------------------------------------------- the flag


def test_flag_takes_the_signals_and_gives_them_back() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    flag = StopFlag()
    assert agreed(flag.votes()) == 0
    with flag:
        os.kill(os.getpid(), signal.SIGINT)
        assert flag.signal_number == signal.SIGINT
        assert agreed(flag.votes()) == signal.SIGINT
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_elsewhere_than_in_the_main_thread_there_is_nothing_to_take() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    during = []

    def work() -> None:
        with StopFlag():
            during.extend(signal.getsignal(number) for number in SIGNALS)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert during == before


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("ranks", [1, 2, 8])
def test_ranks_that_all_got_the_signal_agree_on_it(number: int, ranks: int) -> None:
    flag = StopFlag()
    flag.signal_number = number
    assert agreed([ranks * vote for vote in flag.votes()]) == number


def test_ranks_with_different_signals_agree_on_the_first() -> None:
    assert agreed([1, 1]) == SIGNALS[0]
    assert agreed([0, 3]) == SIGNALS[1]
    assert agreed([0, 0]) == 0


@pytest.mark.parametrize("number, name, status", [(signal.SIGINT, "Ctrl-C", 130), (signal.SIGTERM, "SIGTERM", 143)])
def test_status_and_sentence(number: int, name: str, status: int) -> None:
    error = Interrupted(number, 7)
    assert exit_status(error) == status
    assert str(error) == f"stopped by {name} after step 7; everything is saved, and the same command continues"


def test_worker_leaves_the_decision_to_the_main_process() -> None:
    before = {number: signal.getsignal(number) for number in (*SIGNALS, signal.SIGALRM)}
    try:
        ignore_in_worker(0)
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
        assert 0 < signal.alarm(0) <= interrupt.WORKER_GRACE_SECONDS
    finally:
        signal.alarm(0)
        for number, handler in before.items():
            signal.signal(number, handler)


def test_signals_belong_to_their_owners_after_a_run_and_after_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {number: signal.getsignal(number) for number in signal.valid_signals()}
    pretrain(tiny_run(tmp_path, "gpt", "trainer.max_steps=1"), tmp_path / "whole")
    assert {number: signal.getsignal(number) for number in signal.valid_signals()} == before
    from zoo.training.conductor import Conductor

    monkeypatch.setattr(Conductor, "_save", lambda self, trainer, step: os.kill(os.getpid(), signal.SIGTERM) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        pretrain(tiny_run(tmp_path, "gpt", "trainer.max_steps=1"), tmp_path / "broken")
    assert {number: signal.getsignal(number) for number in signal.valid_signals()} == before
