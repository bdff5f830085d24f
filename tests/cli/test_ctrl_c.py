"""Ctrl-C during imports: not lost, not in the midst of one, and at once for who presses it twice."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.source_tree import ROOT
from tests.training.processes import Command, wait_until
from tests.training.tiny import write_config
from zoo.cli.ctrl_c import WholeImports

SIGNAL = "import os, signal; os.kill(os.getpid(), signal.SIGINT)"
OUTER = """
print("begins")
{before}
try:
    import inner
except KeyboardInterrupt:
    pass
{after}
print("whole")
"""
"""A module that swallows KeyboardInterrupt, as numpy does."""

PROGRAM = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # who started the tests may have it ignored
from zoo.cli import main
from zoo.cli import list as listing

def work(pattern):
    import outer
    {then}

listing._list_names = work
sys.exit(main.main(["list"]))
"""


def run_importing(
    folder: Path, before: str = "", inner: str = "", after: str = "", then: str = "time.sleep(60); print('ran on')"
) -> "subprocess.CompletedProcess[str]":
    """A verb whose import is `outer` and `inner`, with these lines in them, and that works on afterwards."""
    (folder / "outer.py").write_text(OUTER.format(before=before, after=after))
    (folder / "inner.py").write_text(f"{inner}\nVALUE = 1\n")
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{folder}"}
    program = PROGRAM.format(then=then)
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, env=environment, timeout=300
    )


@pytest.mark.parametrize("moment", ["before", "inner", "after"])
def test_ctrl_c_waits_for_the_import_and_is_not_lost(moment: str, tmp_path: Path) -> None:
    # a while longer than the handler waits before it looks again
    result = run_importing(tmp_path, **{moment: f"{SIGNAL}; import time; time.sleep(0.1)"})
    assert (result.returncode, result.stdout, result.stderr) == (130, "begins\nwhole\n", "stopped by Ctrl-C\n")


def test_ctrl_c_is_not_lost_where_nothing_follows_the_import(tmp_path: Path) -> None:
    result = run_importing(tmp_path, after=SIGNAL, then="pass")
    assert (result.returncode, result.stderr) == (130, "stopped by Ctrl-C\n")


def test_error_of_an_import_does_not_hide_that_it_was_stopped(tmp_path: Path) -> None:
    result = run_importing(tmp_path, after=f"{SIGNAL}\nraise AttributeError('half')")
    assert (result.returncode, result.stderr) == (130, "stopped by Ctrl-C\n")


def test_slow_reading_that_is_begun_anew_at_each_interruption_ends(tmp_path: Path) -> None:
    slow = "import time\nwhile not nap(0.3): pass"
    nap = (
        "import signal\ndef nap(seconds):\n"
        "    before = signal.getitimer(signal.ITIMER_REAL)[0]\n"
        "    time.sleep(seconds)\n"
        "    return not 0 < before < seconds\n"
    )
    result = run_importing(tmp_path, before=SIGNAL, inner=f"{nap}{slow}")
    assert (result.returncode, result.stdout, result.stderr) == (130, "begins\nwhole\n", "stopped by Ctrl-C\n")


def test_second_ctrl_c_during_an_import_ends_at_once(tmp_path: Path) -> None:
    result = run_importing(tmp_path, before=f"{SIGNAL}; time = __import__('time'); time.sleep(0.1); {SIGNAL}")
    assert result.returncode == 130
    assert "whole" not in result.stdout
    assert "Traceback" not in result.stderr


def test_sigterm_during_an_import_ends_the_process(tmp_path: Path) -> None:
    result = run_importing(tmp_path, inner=SIGNAL.replace("SIGINT", "SIGTERM"))
    assert (result.returncode, result.stderr) == (-signal.SIGTERM, "")


def test_whoever_took_the_signal_meanwhile_is_told(tmp_path: Path) -> None:
    then = "heard, end = [], time.monotonic() + 60"
    then += "\n    signal.signal(signal.SIGINT, lambda *_: heard.append('told'))"
    then += "\n    while not heard and time.monotonic() < end: time.sleep(0.01)"
    then += "\n    print(*heard)"
    result = run_importing(tmp_path, after=f"signal = __import__('signal'); {SIGNAL}", then=then)
    assert result.stdout in ("begins\nwhole\ntold\n", "begins\nwhole\n")  # the second: it came before it was taken
    assert (result.returncode == 0) == ("told" in result.stdout)


def test_signals_are_given_back() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGALRM)]
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        with WholeImports(test_signals_are_given_back.__code__):
            assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        assert signal.getsignal(signal.SIGALRM) == before[1]
    finally:
        signal.signal(signal.SIGINT, before[0])


def test_what_is_not_pythons_own_handler_stays() -> None:
    before = signal.getsignal(signal.SIGINT)
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        with WholeImports(test_what_is_not_pythons_own_handler_stays.__code__):
            assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
    during = []

    def work() -> None:
        with WholeImports(work.__code__):
            during.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert during == [before]


FIRST_SECONDS = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from zoo.cli import ctrl_c, main

enter = ctrl_c.WholeImports.__enter__

def ready(self):
    taken = enter(self)
    print("ready", flush=True)
    return taken

ctrl_c.WholeImports.__enter__ = ready
sys.exit(main.main())
"""
"""The command says when it has taken Ctrl-C over; before, a slow machine may leave it for as long as it likes."""


@pytest.mark.slow
def test_ctrl_c_at_any_moment_of_the_first_seconds(tmp_path: Path) -> None:
    config = write_config(tmp_path, "gpt")
    for number, delay in enumerate((0.0, 0.1, 0.3, 0.7, 1.2, 2.0, 3.0, 5.0)):
        arguments = ("pretrain", config, "--folder", f"run-{number}", "trainer.max_steps=100000")
        process = Command(arguments, tmp_path, ("-c", FIRST_SECONDS))
        wait_until(lambda process=process: "ready" in process.output.read_text(), process)  # type: ignore[misc]
        time.sleep(delay)
        os.kill(process.pid, signal.SIGINT)
        assert process.wait() == 130, process.output.read_text()
        said = process.output.read_text()
        assert "stopped by Ctrl-C" in said.splitlines()[-1]
        assert "Traceback" not in said
