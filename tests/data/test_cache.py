"""A cached folder is whole or absent, whatever is done to it and whoever else builds."""

import errno
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from zoo.data import cache
from zoo.data.cache import BuildStopped, check_folder, find_or_build
from zoo.errors import DataError


def build(folder: Path) -> None:
    (folder / "a.bin").write_bytes(bytes(range(200)))
    (folder / "b.bin").write_bytes(b"")


def build_never(folder: Path) -> None:
    raise AssertionError("it is there already")


def test_built_once_and_found_again(tmp_path: Path) -> None:
    folder = find_or_build(tmp_path / "deep" / "x", "thing", build)
    assert (folder / "a.bin").read_bytes() == bytes(range(200))
    assert find_or_build(folder, "thing", build_never) == folder
    assert [path.name for path in folder.parent.iterdir() if path.name != ".x.lock"] == ["x"]


@pytest.mark.parametrize(
    "damage, message",
    [
        (
            lambda folder: (folder / "a.bin").write_bytes(bytes(range(199))),
            r"a\.bin: it has 199 bytes and should have 200",
        ),
        (lambda folder: (folder / "a.bin").write_bytes(bytes(200)), r"a\.bin: its content changed after byte 0"),
        (lambda folder: (folder / "a.bin").unlink(), r"a\.bin: .*No such file"),
        (lambda folder: (folder / "manifest.json").write_text("{"), r"manifest\.json"),
        (lambda folder: (folder / "manifest.json").write_text('{"files": {}, "seal": "x"}'), "its seal is broken"),
        (lambda folder: (folder / "manifest.json").unlink(), r"manifest\.json"),
    ],
)
def test_damage_is_named_and_mended(tmp_path: Path, damage, message: str, caplog: pytest.LogCaptureFixture) -> None:
    folder = find_or_build(tmp_path / "x", "thing", build)
    damage(folder)
    with pytest.raises(DataError, match=f"the thing in .* is damaged: .*{message}.*delete .* it is built again"):
        check_folder(folder, "thing")
    with caplog.at_level(logging.WARNING):
        find_or_build(folder, "thing", build)
    assert "building it again now" in caplog.text
    check_folder(folder, "thing")


def test_changes_are_found_block_by_block_and_in_a_sample_of_large_files(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(cache, "BLOCK_BYTES", 16)
    folder = find_or_build(tmp_path / "x", "thing", build)
    content = bytearray((folder / "a.bin").read_bytes())
    content[50] ^= 1
    (folder / "a.bin").write_bytes(content)
    with pytest.raises(DataError, match="changed after byte 48"):
        check_folder(folder, "thing")
    monkeypatch.setattr(cache, "WHOLE_CHECK_BYTES", 64)
    monkeypatch.setattr(cache, "SAMPLED_BLOCKS", 2)
    check_folder(folder, "thing")  # the first and the last block only
    (folder / "a.bin").write_bytes(bytes([1]) + bytes(range(1, 200)))
    with pytest.raises(DataError, match="changed after byte 0"):
        check_folder(folder, "thing")


def test_a_failing_build_leaves_nothing(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        build(folder)
        raise DataError("the corpus is empty")

    with pytest.raises(DataError, match="the corpus is empty"):
        find_or_build(tmp_path / "x", "thing", fail)
    assert [path.name for path in tmp_path.iterdir()] == [".x.lock"]


@pytest.mark.parametrize(
    "error, stays",
    [
        (KeyboardInterrupt(), True),
        (OSError(errno.ENOSPC, "full"), True),
        (BuildStopped("a process died"), True),
        (DataError("the corpus is empty"), False),
    ],
)
def test_a_resumable_build_finds_what_it_left_unless_its_input_was_wrong(
    tmp_path: Path, error: BaseException, stays: bool
) -> None:
    def stop(folder: Path) -> None:
        (folder / "a.bin").write_bytes(b"half")
        raise error

    found: list[bool] = []

    def go_on(folder: Path) -> None:
        found.append((folder / "a.bin").exists())
        build(folder)

    with pytest.raises((KeyboardInterrupt, DataError)):
        find_or_build(tmp_path / "x", "thing", stop, resumable=True)
    find_or_build(tmp_path / "x", "thing", go_on, resumable=True)
    check_folder(tmp_path / "x", "thing")
    assert found == [stays]
    assert [path.name for path in tmp_path.iterdir() if path.name != ".x.lock"] == ["x"]


@pytest.mark.parametrize(
    "error, message",
    [
        (errno.ENOSPC, r"the disk of the cache .* is full .*: free some space for the thing, or name another folder"),
        (errno.EDQUOT, r"the disk of the cache .* is full"),
        (errno.EROFS, r"cannot write the thing to the cache .*[Rr]ead-only.*data\.cache or \$ZOO_CACHE"),
    ],
)
def test_what_the_disk_says_is_passed_on_with_what_to_do(tmp_path: Path, error: int, message: str) -> None:
    def fail(folder: Path) -> None:
        raise OSError(error, os.strerror(error))

    with pytest.raises(DataError, match=message):
        find_or_build(tmp_path / "x", "thing", fail)


def test_a_whole_folder_in_a_read_only_cache_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find_or_build(tmp_path / "x", "thing", build)

    def refuse(*arguments: object, **options: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "mkdir", refuse)
    assert find_or_build(tmp_path / "x", "thing", build_never) == tmp_path / "x"
    with pytest.raises(DataError, match=r"data\.cache or \$ZOO_CACHE"):
        find_or_build(tmp_path / "y", "thing", build)


def test_who_waits_for_another_process_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The other process builds until it is said."""

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            (tmp_path / "said").touch()

    worker = multiprocessing.get_context("fork").Process(target=find_or_build, args=(tmp_path / "x", "thing", _waiting))
    worker.start()
    _wait_for(tmp_path / "begun")
    listener = Listener()
    logging.getLogger(cache.__name__).addHandler(listener)
    try:
        find_or_build(tmp_path / "x", "thing", build_never)
    finally:
        logging.getLogger(cache.__name__).removeHandler(listener)
    worker.join()
    assert "another process is making the thing" in caplog.text


def test_an_unwritable_cache_is_said_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"cannot write the thing to the cache .*data\.cache or \$ZOO_CACHE"):
        find_or_build(tmp_path / "file" / "x", "thing", build)


def _wait_for(path: Path) -> None:
    end = time.monotonic() + 300
    while not path.exists():
        assert time.monotonic() < end, f"no {path.name}"
        time.sleep(0.005)


def _waiting(folder: Path) -> None:
    (folder.parent / "begun").touch()
    _wait_for(folder.parent / "said")
    build(folder)


def _slow(folder: Path) -> None:
    (folder / "a.bin").write_bytes(b"half")
    (folder.parent / "begun").touch()
    time.sleep(600)


def test_a_kill_leaves_no_folder_and_the_next_build_tidies_up(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[1]); import test_cache as t\n"
    code += "t.find_or_build(Path(sys.argv[2]), 'thing', t._slow)"
    victim = subprocess.Popen([sys.executable, "-c", code, str(Path(__file__).parent), str(tmp_path / "x")])
    try:
        _wait_for(tmp_path / "begun")
    finally:
        victim.send_signal(signal.SIGKILL)
        victim.wait()
    assert list(tmp_path.glob(".x.building-*"))
    assert not (tmp_path / "x").exists()
    check_folder(find_or_build(tmp_path / "x", "thing", build), "thing")
    assert not list(tmp_path.glob(".x.building-*"))


def _counted(folder: Path) -> None:
    build(folder)
    (folder.parent / f"built-by-{os.getpid()}").write_text("")
    time.sleep(0.2)


def _find(folder: Path, locks: bool) -> None:
    if not locks:
        import fcntl

        def refuse(*_: object) -> None:
            raise OSError("no locks here")

        fcntl.flock = refuse
    check_folder(find_or_build(folder, "thing", _counted), "thing")


@pytest.mark.parametrize("locks", [True, False])
def test_parallel_builders(tmp_path: Path, locks: bool) -> None:
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_find, args=(tmp_path / "x", locks)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * 4
    check_folder(tmp_path / "x", "thing")
    assert len(list(tmp_path.glob("built-by-*"))) == 1 or not locks
    assert not list(tmp_path.glob(".x.building-*"))
