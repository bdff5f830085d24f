"""Files that grow: whatever cuts them short, they go on from the last shard that is whole, to the same bytes."""

from pathlib import Path

import pytest

from zoo.data.journal import FILE_NAME, GrowingFiles

NAMES = ["a.bin", "b.bin"]
SHARDS = [(b"one ", b"1"), (b"two ", b""), (b"three ", b"333")]


def write(folder: Path, upto: int = len(SHARDS), tail: bytes = b"") -> int:
    """Writes shards from wherever the journal stands; returns how many it found."""
    with GrowingFiles(folder, NAMES) as files:
        found = files.num_shards
        assert (files.state or {"done": 0})["done"] == found
        for number, parts in enumerate(SHARDS[found:upto], start=found):
            for name, part in zip(NAMES, parts, strict=True):
                files.append(name, part)
            files.finish_shard({"done": number + 1})
        files.append("a.bin", tail)
    return found


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def whole(tmp_path: Path) -> dict[str, bytes]:
    (tmp_path / "whole").mkdir()
    assert write(tmp_path / "whole") == 0
    return content(tmp_path / "whole")


def test_whole_files_hold_their_parts_in_order(whole: dict[str, bytes]) -> None:
    assert (whole["a.bin"], whole["b.bin"]) == (b"one two three ", b"1333")


@pytest.mark.parametrize("stop", range(4))
def test_what_is_behind_the_last_shard_is_cut_off_and_written_again(
    tmp_path: Path, whole: dict[str, bytes], stop: int
) -> None:
    write(tmp_path / "whole", stop, tail=b"")
    folder = tmp_path / "cut"
    folder.mkdir()
    write(folder, stop, tail=b"half of a shard")
    (folder / "store.json").write_text("left by a build that was stopped at the very end")
    assert write(folder) == stop
    assert content(folder) == whole


def test_a_journal_torn_anywhere_loses_at_most_what_it_no_longer_says(tmp_path: Path, whole: dict[str, bytes]) -> None:
    folder, line = tmp_path / "whole", whole[FILE_NAME].index(b"\n")
    for size in (0, 1, line - 1, line, line + 1, line + 2, len(whole[FILE_NAME]) - 1):
        journal = whole[FILE_NAME][:size]
        (folder / FILE_NAME).write_bytes(journal)
        assert write(folder) == journal.count(b"\n")
        assert content(folder) == whole


@pytest.mark.parametrize(
    "name, damaged, left",
    [("a.bin", b"one twO three ", 1), ("b.bin", b"133", 2), ("a.bin", b"", 0), (FILE_NAME, b"[]\n", 0)],
)
def test_a_shard_that_is_not_on_disk_as_its_line_says_is_not_believed(
    tmp_path: Path, whole: dict[str, bytes], name: str, damaged: bytes, left: int
) -> None:
    folder = tmp_path / "whole"
    (folder / name).write_bytes(damaged)
    assert write(folder) == left
    assert content(folder) == whole


def test_other_names_start_anew(tmp_path: Path, whole: dict[str, bytes]) -> None:
    with GrowingFiles(tmp_path / "whole", ["a.bin", "c.bin"]) as files:
        assert (files.state, files.num_shards) == (None, 0)
    assert sorted(content(tmp_path / "whole")) == ["a.bin", "c.bin", FILE_NAME]
