"""What a person sees while a run trains."""

import io
import itertools
import re
import sys
from types import SimpleNamespace

import pytest
from rich import console as rich_console

from zoo.training import progress
from zoo.training.budget import Budget
from zoo.training.progress import BarProgress, LineProgress, amount, describe_row, fit, make_progress, row_words

COLOURS = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
ROW = {"train/loss": 2.3456, "validation/loss": 2.5, "tokens_per_second": 12_345.0, "mfu": 0.42}


@pytest.mark.parametrize("terminal, kind", [(True, BarProgress), (False, LineProgress)])
def test_bar_on_a_terminal_and_lines_elsewhere(terminal: bool, kind: type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        sys, "stderr", SimpleNamespace(isatty=lambda: terminal, write=lambda text: 0, flush=lambda: None)
    )
    shown = make_progress("run", 0, Budget("steps", 10))
    shown.close()
    assert type(shown) is kind


def test_bar_has_loss_speed_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    buffer, options = io.StringIO(), {"force_terminal": True, "width": 140, "stderr": False}
    original, clock = rich_console.Console, itertools.count(0, 0.01).__next__
    monkeypatch.setattr(rich_console, "Console", lambda stderr: original(file=buffer, get_time=clock, **options))
    shown = BarProgress("gpt-nano", 0, Budget("steps", 100))
    shown.update(10, ROW)
    shown.update(20, {})  # words stay until there are new ones
    shown.say("a [word] above the bar")
    shown.close()
    screen = COLOURS.sub("", buffer.getvalue())
    for words in (
        "gpt-nano",
        "20/100",
        "loss 2.346",
        "validation 2.500",
        "12.3k tokens/s",
        "MFU 42 %",
        " left",
        "0:00:0",
    ):
        assert words in screen, words
    assert "a [word] above the bar" in screen


@pytest.mark.parametrize("title", ["gpt-nano", "a-run-with-a-rather-long-name"])
def test_bar_fits_on_a_narrow_terminal(title: str, monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = io.StringIO()
    original = rich_console.Console
    monkeypatch.setattr(
        rich_console, "Console", lambda stderr: original(file=buffer, force_terminal=True, width=80, stderr=False)
    )
    shown = BarProgress(title, 0, Budget("steps", 90_000))
    shown.update(45_000, ROW)
    buffer.truncate(0)
    shown.close()
    last = COLOURS.sub("", buffer.getvalue()).strip("\0\r\n").splitlines()[-1].rstrip()
    assert len(last) <= 80
    assert "…" not in last
    assert "MFU" not in last
    for words in (title, "45000/90000", "loss 2.346", "left"):
        assert words in last


@pytest.mark.parametrize(
    "room, text, bar",
    [
        (90, "loss 2.346 · validation 2.500 · 12.3k tokens/s · MFU 42 %", 24),
        (66, "loss 2.346 · validation 2.500 · 12.3k tokens/s · MFU 42 %", 9),
        (64, "loss 2.346 · validation 2.500 · 12.3k tokens/s", 18),
        (47, "loss 2.346 · validation 2.500 · 12.3k tokens/s", 1),
        (46, "loss 2.346 · validation 2.500", 17),
        (3, "loss 2.346", 1),
    ],
)
def test_what_fits(room: int, text: str, bar: int) -> None:
    """MFU goes before the bar becomes a stub, then the bar shrinks, then the speed goes; the loss never does."""
    assert fit(row_words(ROW), room) == (text, bar)


def test_continued_bar_begins_where_the_run_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = io.StringIO()
    original = rich_console.Console
    monkeypatch.setattr(
        rich_console, "Console", lambda stderr: original(file=buffer, force_terminal=True, width=140, stderr=False)
    )
    BarProgress("gpt-nano", 60, Budget("steps", 100)).close()
    assert "60/100" in buffer.getvalue()


def test_lines_have_loss_speed_and_time_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: now))
    shown = LineProgress("gpt-nano", 40, Budget("steps", 100))
    said = []
    for step, clock, row in (
        (41, 101.0, {"train/loss": 3.0}),  # the first is shown at once
        (42, 102.0, {"train/loss": 2.9}),  # too soon
        (43, 103.0, {"train/loss": 2.8, "validation/loss": 2.7}),  # a validation always is
        (44, 120.0, {}),  # nothing new
        (50, 120.0, ROW),  # 20 s for 10 steps: 100 s for the other 50
        (99, 121.0, {"train/loss": 1.0}),
        (100, 122.0, {"train/loss": 1.0}),  # so is the last
    ):
        now = clock
        shown.update(step, row)
        said.append(capsys.readouterr().err)
    shown.close()
    assert [bool(line) for line in said] == [True, False, True, False, True, False, True]
    assert said[4].strip() == "gpt-nano 50/100 · loss 2.346 · validation 2.500 · 12.3k tokens/s · MFU 42 % · 100 s left"
    assert said[6].strip().endswith("0 s left")


def test_words_leave_out_what_is_not_there() -> None:
    assert describe_row({}) == ""
    assert describe_row({"train/loss": 1.0}) == "loss 1.000"
    assert describe_row({"validation/loss": 2.0, "mfu": 0.0}) == "validation 2.000 · MFU 0 %"


@pytest.mark.parametrize(
    "done, budget, words",
    [
        (20, Budget("steps", 100), "20/100"),
        (1_234_567, Budget("tokens", 3e9), "1.23M/3G tokens"),
        (0, Budget("flops", 1e18), "0/1E FLOPs"),
        (0.25, Budget("hours", 2.0), "0.25/2 hours"),
    ],
)
def test_how_far_in_the_unit_of_the_budget(done: float, budget: Budget, words: str) -> None:
    assert amount(done, budget) == words
