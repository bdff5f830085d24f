"""`zoo report`."""

from pathlib import Path

import pytest

from tests.cli.tiny import MODELS, Command, Workshop
from tests.report.made_up import made_up_run


@pytest.mark.parametrize("family", MODELS)
def test_rebuilds_the_report_of_a_run(workshop: Workshop, command: Command, family: str) -> None:
    page = workshop.run(family) / "report.html"
    before = page.read_bytes()
    page.unlink()
    status, out, err = command("report", f"runs/tiny-{family}")
    assert (status, out.strip(), err) == (0, f"runs/tiny-{family}/report.html", "")
    assert page.read_bytes() == before


def test_several_runs_are_compared(workshop: Workshop, command: Command) -> None:
    folders = [f"runs/tiny-{family}" for family in MODELS]
    status, out, err = command("report", *folders, "--output", "out/all.html")
    assert (status, err) == (0, "")
    assert out.splitlines() == [*(f"{folder}/report.html" for folder in folders), "out/all.html"]
    assert (workshop.folder / "out" / "all.html").is_file()


def test_comparison_without_a_name_is_here(tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        made_up_run(tmp_path / name)
    assert command("report", "a", "b").out.splitlines()[-1] == "comparison.html"
    assert (tmp_path / "comparison.html").is_file()


def test_unfinished_and_damaged_runs_work_and_say_so(tmp_path: Path, command: Command) -> None:
    folder = made_up_run(tmp_path / "a", finished=False)
    with (folder / "metrics.csv").open("a", encoding="utf-8") as file:
        file.write("401,4")
    status, out, err = command("report", folder)
    assert (status, out.strip()) == (0, str(folder / "report.html"))
    assert err.strip() == f"note: {folder}: metrics.csv: 1 damaged line(s) left out"


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["nothing"], "nothing is missing; name a run folder"),
        (["empty"], "no metrics.csv in empty: it is no run folder, or its run has logged nothing yet (found: nothing)"),
        (["a", "nothing"], "nothing is missing"),
        (["a", "a/"], "named twice"),
        (["a", "--output", "x.html"], "--output: names the file of a comparison"),
        ([], "Missing argument"),
    ],
)
def test_wrong_use(
    arguments: list[str], said: str, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made_up_run(tmp_path / "a")
    (tmp_path / "empty").mkdir()
    status, _, err = command("report", *arguments)
    assert status in (1, 2)
    assert said in err
    assert len(err.splitlines()) == 1
    assert not list(tmp_path.rglob("*.html")), "nothing is written before all is well"


def test_help_has_examples(command: Command) -> None:
    out = command("report", "--help").out
    assert "Examples:" in out
    assert "comparison" in out
