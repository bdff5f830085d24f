"""Disk errors say what to do; a swap is a swap; JSON is read with bounds."""

import errno
import os
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from zoo.checkpoint import disk
from zoo.errors import CheckpointError


def test_ensure_writable_makes_the_folder_and_leaves_nothing_in_it(tmp_path: Path) -> None:
    disk.ensure_writable(tmp_path / "runs" / "one")
    assert os.listdir(tmp_path / "runs" / "one") == []


def test_ensure_writable_refuses_a_place_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(CheckpointError, match=r"cannot write in the folder .*runs/one: Not a directory"):
        disk.ensure_writable(tmp_path / "runs" / "one")
    with pytest.raises(CheckpointError, match="File exists"):
        disk.ensure_writable(tmp_path / "runs")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_ensure_writable_refuses_a_read_only_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(CheckpointError, match="Permission denied; choose a folder that you may write to"):
        disk.ensure_writable(tmp_path)


@pytest.mark.parametrize(
    "number, advice",
    [
        (errno.ENOSPC, "free some space"),
        (errno.EDQUOT, "free some space"),
        (errno.EROFS, "that you may write to"),
        (errno.EACCES, "that you may write to"),
        (errno.EIO, ""),
    ],
)
def test_disk_errors_say_what_to_do(number: int, advice: str) -> None:
    with (
        pytest.raises(CheckpointError, match=rf"cannot write x: {os.strerror(number)}.*{advice}"),
        disk.disk_errors("write x"),
    ):
        raise OSError(number, os.strerror(number))


@pytest.mark.parametrize("broken", ["write_text", "replace"])
def test_replaced_file_is_the_old_one_or_the_new_one(
    broken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "deep" / "note.csv"
    for text in ("old\r\n", "ä"):
        disk.replace_file(path, text, durable=True)
        assert path.read_bytes() == text.encode()

    def fail(*arguments: object, **more: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(*{"write_text": (Path, "write_text"), "replace": (disk.os, "replace")}[broken], fail)
    with pytest.raises(CheckpointError, match=rf"cannot write {path}: No space left on device; free some space"):
        disk.replace_file(path, "new")
    assert path.read_bytes() == "ä".encode()
    assert os.listdir(path.parent) == ["note.csv"]


def test_durable_file_is_synced_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    monkeypatch.setattr(disk, "sync_file", lambda path: synced.append(path.read_text()))
    disk.replace_file(tmp_path / "note", "usual")
    assert synced == []
    disk.replace_file(tmp_path / "note", "durable", durable=True)
    assert synced == ["durable"]


def test_too_little_space_is_said_in_megabytes_and_by_the_name_that_people_know(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk.ensure_space(tmp_path, 1000)
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda folder: SimpleNamespace(free=3_000_000))
    disk.ensure_space(tmp_path, 1_900_000)
    with pytest.raises(CheckpointError, match=r"has 3\.0 MB free, the checkpoint needs 3\.1 MB; free some"):
        disk.ensure_space(tmp_path, 2_000_000)
    hidden = tmp_path / ".writing~step-4~host~12~ab" / "model"
    with pytest.raises(CheckpointError, match=f"^{tmp_path}/step-4/model has 3.0 MB free, the run needs 6.1 MB"):
        disk.ensure_space(hidden, 5_000_000, "the run")
    told = pytest.raises(CheckpointError, match=f"cannot write {tmp_path}/step-4/model: No space left")
    with told, disk.disk_errors(f"write {hidden}"):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_exchange_swaps_two_folders_or_does_nothing(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two):
        folder.mkdir()
        (folder / "name").write_text(folder.name)
    swapped = disk.exchange(one, two)
    assert (one / "name").read_text() == ("two" if swapped else "one")
    assert (two / "name").read_text() == ("one" if swapped else "two")


def test_make_folder_syncs_what_it_makes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(disk, "sync_folder", synced.append)
    disk.make_folder(tmp_path / "a" / "b")
    assert synced == [tmp_path, tmp_path / "a"]
    disk.make_folder(tmp_path / "a" / "b")
    assert len(synced) == 2


def test_remove_takes_a_folder_a_file_or_a_link(tmp_path: Path) -> None:
    (tmp_path / "folder" / "inner").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    disk.remove(tmp_path / "link")
    assert (tmp_path / "folder").is_dir()
    disk.remove(tmp_path / "folder")
    disk.remove(tmp_path / "never there")
    assert os.listdir(tmp_path) == []


def test_open_plain_refuses_links_and_pipes(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    os.mkfifo(tmp_path / "pipe")
    with disk.open_plain(tmp_path / "file") as file:
        assert file.read() == b"x"
    for name in ("link", "pipe", "missing", "."):
        with pytest.raises(CheckpointError):
            disk.open_plain(tmp_path / name)


@pytest.mark.parametrize(
    "content, reason",
    [
        (b"", "Expecting value"),
        (b"{", "no JSON"),
        (b'{"a": 1, "a": 2}', "a key occurs twice"),
        (b"[NaN]", "NaN is no JSON number"),
        (b"[-Infinity]", "-Infinity is no JSON number"),
        (b'"\xff"', "utf-8"),
        (b"[" * 50_000, "nested too deeply"),
        (b'{"a":' * 50_000, "nested too deeply"),
        (b"1" * 6_000, "no JSON"),
        (b'"' + b"a" * 100_000 + b'"', "at most 100,000 are read"),
    ],
)
def test_read_json_refuses_garbage_quickly(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "file.json").write_bytes(content)
    start = time.process_time()
    with pytest.raises(CheckpointError, match=reason) as caught:
        disk.read_json(tmp_path / "file.json", 100_000 if b"aaa" in content else 1 << 20)
    assert "file.json" in str(caught.value)
    assert time.process_time() - start < 10


def test_read_json_reads_json(tmp_path: Path) -> None:
    (tmp_path / "file.json").write_text('{"a": [1, 2.5, null, true, "ä"]}', encoding="utf-8")
    assert disk.read_json(tmp_path / "file.json", 100) == {"a": [1, 2.5, None, True, "ä"]}
