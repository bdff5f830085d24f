"""`zoo data prepare`: makes what a run would make, once, and says what became of the documents."""

from pathlib import Path

import pytest

from tests.cli.tiny import Command, Workshop


@pytest.fixture
def text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workshop: Workshop) -> list[str]:
    """Settings over a config of the workshop, with an empty cache."""
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    lines = [f"line number {number}" for number in range(50)]
    (tmp_path / "text.txt").write_text("\n".join(["", "x", *lines, lines[0]]), encoding="utf-8")
    return ["tiny-decoder.yaml", f"data.source.path={tmp_path / 'text.txt'}", "data.source.document=line"]


FILTER = ("data.source.filter.deduplicate=true", "data.source.filter.minimum_characters=2")


def test_counts_and_place(text: list[str], command: Command, tmp_path: Path) -> None:
    status, out, err = command("data", "prepare", *text, *FILTER)
    assert status == 0, err
    cells = {line.rpartition("  ")[0].strip(): line.split()[-1] for line in out.splitlines()}
    assert cells["documents read"] == "53"
    assert (cells["empty"], cells["too short"], cells["equal to an earlier one"]) == ("1", "1", "1")
    assert cells["documents kept"] == "50"
    assert "without any token" not in out
    folder = Path(cells["store"])
    assert folder.is_relative_to(tmp_path / "cache")
    assert (folder / "store.json").is_file()
    assert "held out" in err


def test_pretraining_finds_it_again_and_says_what_was_dropped(
    text: list[str], command: Command, tmp_path: Path
) -> None:
    command("data", "prepare", *text, *FILTER)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*.bin")}
    outcome = command("pretrain", *text, *FILTER, "--folder", tmp_path / "run", "data.num_workers=3")
    assert outcome.status == 0, outcome.err
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*.bin")} == before
    assert "dropped 3 of 53 documents: 1 empty, 1 too short, 1 equal to an earlier one" in outcome.err


@pytest.mark.parametrize(
    "setting, status, words",
    [
        ("data.source.path=nowhere.txt", 1, ["no file or folder at nowhere.txt"]),
        ("data.source.filter.minimum_characters=1000", 1, ["52 too short", "data.source.filter"]),
        ("data.source.filter.normalization=NFX", 2, ["data.source.filter.normalization", "'NFX'", "NFKC"]),
        ("data.source.filter.minimum=3", 2, ["data.source.filter.minimum", "minimum_characters"]),
        ("data.num_workers=-1", 2, ["data.num_workers", "-1"]),
    ],
)
def test_mistakes(text: list[str], command: Command, setting: str, status: int, words: list[str]) -> None:
    outcome = command("data", "prepare", *text, setting)
    assert (outcome.status, outcome.out) == (status, "")
    *before, last = outcome.err.splitlines()
    assert all(line.startswith("building the token store: ") for line in before)
    for word in ("error: ", *words):
        assert word in last
