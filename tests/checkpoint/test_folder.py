"""A folder is whole or absent, whenever its writer dies; damage is found; the newest whole step is found."""

import fcntl
import os
import random
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from zoo.checkpoint import folder as folders
from zoo.checkpoint.folder import newest_verified, prune, steps_of, verify_folder, write_folder
from zoo.errors import CheckpointError

FORMAT = "test"


def filler(text: str, files: int = 2) -> Callable[[Path], None]:
    """Fills a folder with a few files and an inner folder, all of which hold `text`."""

    def write(folder: Path) -> None:
        (folder / "model").mkdir()
        for number in range(files):
            (folder / f"file-{number}.bin").write_text(text * (number + 1))
        (folder / "model" / "weights.bin").write_text(text)

    return write


def write(path: Path, text: str = "text", **options: bool) -> Path:
    write_folder(path, filler(text), format=FORMAT, **options)
    return path


def content(path: Path) -> str:
    return (path / "model" / "weights.bin").read_text()


def hidden(parent: Path) -> list[str]:
    return [name for name in os.listdir(parent) if name.startswith(".")]


# -------------------------------------------------------------------------------------------------------------- writing


def test_what_is_written_verifies(tmp_path: Path) -> None:
    manifest = verify_folder(write(tmp_path / "deep" / "folder" / "step-1"), format=FORMAT)
    assert set(manifest.files) == {"file-0.bin", "file-1.bin", "model/weights.bin"}
    assert manifest.files["file-1.bin"].size == 8
    assert not hidden(tmp_path / "deep" / "folder")


def test_writing_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    one, two = write(tmp_path / "one"), write(tmp_path / "two")
    assert (one / "manifest.json").read_bytes() == (two / "manifest.json").read_bytes()


def test_refuses_what_exists(tmp_path: Path) -> None:
    write(tmp_path / "step-1", "old")
    with pytest.raises(CheckpointError, match="step-1 exists already"):
        write(tmp_path / "step-1", "new")
    assert content(tmp_path / "step-1") == "old"


@pytest.mark.parametrize("swaps", [True, False])
def test_replaces_what_exists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, swaps: bool) -> None:
    if not swaps:
        monkeypatch.setattr(folders, "exchange", lambda one, other: False)
    write(tmp_path / "best", "old")
    write(tmp_path / "best", "new", replace=True)
    assert content(tmp_path / "best") == "new"
    verify_folder(tmp_path / "best", format=FORMAT)
    assert os.listdir(tmp_path) == ["best"]


def test_replacing_works_on_what_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "best").write_text("a file")
    write(tmp_path / "best", "new", replace=True)
    verify_folder(tmp_path / "best", format=FORMAT)
    assert os.listdir(tmp_path) == ["best"]


@pytest.mark.parametrize("name", [".hidden", "a b", "name~x", "ä"])
def test_refuses_a_strange_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(CheckpointError, match="no name for a checkpoint folder"):
        write(tmp_path / name)


def test_an_inner_checkpoint_folder_opens_by_itself_and_is_listed_outside(tmp_path: Path) -> None:
    def outer(folder: Path) -> None:
        write_folder(folder / "model", filler("inner"), format="inner")
        (folder / "trainer.json").write_text("{}")

    write_folder(tmp_path / "step-1", outer, format=FORMAT)
    verify_folder(tmp_path / "step-1" / "model", format="inner")
    files = verify_folder(tmp_path / "step-1", format=FORMAT).files
    assert {"model/manifest.json", "model/model/weights.bin", "trainer.json"} <= set(files)


def test_an_inner_folder_is_hashed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed = []
    original = folders.hash_file
    monkeypatch.setattr(folders, "hash_file", lambda path: hashed.append(path.name) or original(path))
    write_folder(
        tmp_path / "step-1", lambda folder: write_folder(folder / "model", filler("x"), format="inner"), format=FORMAT
    )
    assert sorted(hashed) == ["file-0.bin", "file-1.bin", "manifest.json", "weights.bin"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("bug"), CheckpointError("no")])
def test_a_failing_writer_leaves_nothing(tmp_path: Path, error: BaseException) -> None:
    write(tmp_path / "step-1")

    def fails(folder: Path) -> None:
        (folder / "half").write_text("x")
        raise error

    with pytest.raises(type(error)):
        write_folder(tmp_path / "step-2", fails, format=FORMAT)
    assert os.listdir(tmp_path) == ["step-1"]


def test_a_full_disk_is_a_checkpoint_error_and_leaves_nothing(tmp_path: Path) -> None:
    def fails(folder: Path) -> None:
        (folder / "half").write_text("x")
        raise OSError(28, "No space left on device")

    with pytest.raises(CheckpointError, match="step-2: No space left on device; free some space"):
        write_folder(tmp_path / "step-2", fails, format=FORMAT)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "damage, reason",
    [
        (lambda folder: (folder / "link").symlink_to("file-0.bin"), "symbolic link"),
        (lambda folder: (folder / "empty").mkdir(), "empty folder"),
        (lambda folder: (folder / "a b").write_text(""), "no name of a checkpoint's file"),
        (lambda folder: os.mkfifo(folder / "pipe"), "not a plain file"),
        (lambda folder: (folder / "manifest.json").write_text("{}"), "written for you"),
    ],
)
def test_refuses_a_writer_that_leaves_what_would_not_verify(
    tmp_path: Path, damage: Callable[[Path], object], reason: str
) -> None:
    def strange(folder: Path) -> None:
        filler("x")(folder)
        damage(folder)

    with pytest.raises(CheckpointError, match=reason):
        write_folder(tmp_path / "step-1", strange, format=FORMAT)
    assert os.listdir(tmp_path) == []


def test_everything_is_durable_before_the_name_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    for name in ("sync_file", "sync_folder"):
        original = getattr(folders, name)
        monkeypatch.setattr(folders, name, lambda path, original=original: (original(path), events.append(path.name)))
    rename = os.rename
    monkeypatch.setattr(os, "rename", lambda one, other: (rename(one, other), events.append("rename")))
    write(tmp_path / "step-1")
    files, (manifest, temporary, renamed, parent) = events[:-4], events[-4:]
    assert sorted(files) == ["file-0.bin", "file-1.bin", "model", "weights.bin"]
    assert (manifest, renamed, parent) == ("manifest.json", "rename", tmp_path.name)
    assert temporary.startswith(".writing~step-1~")


# ---------------------------------------------------------------------------------------------------------------- kills


CHILD = """
    import os, signal, sys
    from pathlib import Path
    from zoo.checkpoint import folder as folders

    def fill(text):
        def write(folder):
            (folder / "model").mkdir()
            for number in range(2):
                (folder / f"file-{number}.bin").write_text(text * (number + 1))
                folders.fault(f"file {number}")
            (folder / "model" / "weights.bin").write_text(text)
        return write

    def die_at(number):
        calls = iter(range(10**6))
        def fault(point):
            if next(calls) == number:
                os.kill(os.getpid(), signal.SIGKILL)
        folders.fault = fault
"""


SERVER = """
    for line in sys.stdin:
        number, *arguments = line.split()
        process = os.fork()
        if process == 0:
            die_at(int(number))
            victim(*arguments)
            os._exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), flush=True)
"""


def kill_everywhere(victim: str, start: Callable[[int], Path], check: Callable[[Path], None]) -> int:
    """Kills a save at its first instrumented point, at its second, …, until it survives; the number of kills.

    `victim` defines a function of that name, whose argument is the folder that `start` made; `check` looks at what is
    left.
    """
    program = "".join(map(textwrap.dedent, (CHILD, victim, SERVER)))
    with subprocess.Popen([sys.executable, "-c", program], stdin=-1, stdout=-1, text=True) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        for number in range(100):
            folder = start(number)
            print(number, folder, file=server.stdin, flush=True)
            status = int(server.stdout.readline())
            assert status in (0, -signal.SIGKILL)
            check(folder)
            if status == 0:
                server.stdin.close()
                return number
    raise AssertionError("it never ends")


def test_a_kill_at_any_point_of_a_save_leaves_the_old_steps_and_a_whole_new_one_or_none(tmp_path: Path) -> None:
    victim = """
        def victim(parent):
            folders.write_folder(Path(parent) / "step-2", fill("new"), format="test")
    """
    outcomes = []

    def check(parent: Path) -> None:
        found, warnings = newest_verified(parent, format=FORMAT)
        assert not warnings
        assert found is not None
        outcomes.append((found.name, content(found)))
        assert {name for name in os.listdir(parent) if not name.startswith(".")} <= {"step-1", "step-2"}
        write(parent / "step-3")  # the next writer is not disturbed, and cleans up
        assert not hidden(parent)

    kills = kill_everywhere(victim, lambda number: write(tmp_path / str(number) / "step-1", "old").parent, check)
    assert kills >= 10
    assert outcomes[0] == ("step-1", "old")
    assert outcomes[-1] == ("step-2", "new")
    assert outcomes == sorted(outcomes)  # once the new one is there, it stays


@pytest.mark.parametrize("swaps", [True, False])
def test_a_kill_at_any_point_of_a_replacement_leaves_the_old_or_the_new(tmp_path: Path, swaps: bool) -> None:
    victim = f"""
        def victim(parent):
            if not {swaps}:
                folders.exchange = lambda one, other: False
            folders.write_folder(Path(parent) / "best", fill("new"), format="test", replace=True)
    """
    outcomes = []

    def check(parent: Path) -> None:
        if not swaps:  # between the two renames there is nothing at the place; the next writer puts the old one back
            folders.remove_leftovers(parent)
        verify_folder(parent / "best", format=FORMAT)
        outcomes.append(content(parent / "best"))
        write(parent / "other")
        assert not hidden(parent)

    kills = kill_everywhere(victim, lambda number: write(tmp_path / str(number) / "best", "old").parent, check)
    assert kills >= 11
    assert outcomes == sorted(outcomes, reverse=True)
    assert set(outcomes) == {"old", "new"}


def test_a_kill_at_any_point_of_pruning_leaves_the_newest_whole(tmp_path: Path) -> None:
    victim = """
        def victim(parent):
            folders.prune(parent, 1, format="test")
    """

    def start(number: int) -> Path:
        for step in (1, 2, 3):
            write(tmp_path / str(number) / f"step-{step}")
        return tmp_path / str(number)

    def check(parent: Path) -> None:
        for _, step in steps_of(parent):
            verify_folder(step, format=FORMAT)
        assert newest_verified(parent, format=FORMAT) == (parent / "step-3", [])
        folders.remove_leftovers(parent)
        assert not hidden(parent)

    assert kill_everywhere(victim, start, check) == 4


def test_random_kills_never_lose_a_step_that_was_reported_as_written(tmp_path: Path) -> None:
    program = """
        step = int(sys.argv[2])
        def many(folder):
            for number in range(6):
                (folder / f"{number}.bin").write_bytes(os.urandom(200_000))
        while True:
            step += 1
            folders.write_folder(Path(sys.argv[1]) / f"step-{step}", many, format="test", replace=True)
            print(step, flush=True)
            folders.prune(sys.argv[1], 2, format="test")
    """
    program = textwrap.dedent(CHILD) + textwrap.dedent(program)
    reached = 0
    for round in range(12):
        command = [sys.executable, "-c", program, str(tmp_path), str(reached)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            first = process.stdout.readline()  # from here on it is saving or pruning all the time
            try:
                process.wait(timeout=random.Random(round).uniform(0, 0.12))
            except subprocess.TimeoutExpired:
                process.kill()
            reported = [int(line) for line in [first, *process.stdout.read().split()]]
        found, warnings = newest_verified(tmp_path, format=FORMAT)
        assert found is not None
        assert warnings == []
        reached = int(found.name.removeprefix("step-"))
        assert reached >= reported[-1]
        assert len(hidden(tmp_path)) <= 2
    write(tmp_path / "last")
    assert not hidden(tmp_path)


# ------------------------------------------------------------------------------------------------------------ leftovers


def test_leftovers_of_the_dead_go_and_those_of_the_living_stay(tmp_path: Path) -> None:
    dead, living = (tmp_path / f".writing~step-1~{folders._host()}~{os.getpid()}~{token}" for token in ("ab", "cd"))
    for folder in (dead, living):
        folder.mkdir()
        (folder / "file").write_text("x")
    stranger = tmp_path / ".writing-something-else"
    stranger.mkdir()
    link = tmp_path / f".writing~step-1~{folders._host()}~1~ef"
    link.symlink_to(stranger)
    held = os.open(living, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        write(tmp_path / "step-2")
        assert sorted(os.listdir(tmp_path)) == sorted([stranger.name, link.name, living.name, "step-2"])
    finally:
        os.close(held)
    write(tmp_path / "step-3")
    assert not living.exists()


def test_without_locks_only_this_machines_dead_processes_are_dead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(descriptor: int, operation: int) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    names = {
        "ours, dead": f".writing~a~{folders._host()}~{gone.pid}~ab",
        "ours, alive": f".writing~a~{folders._host()}~{os.getpid()}~ab",
        "another machine's": f".writing~a~{folders._host()}x~{gone.pid}~ab",
    }
    for name in names.values():
        (tmp_path / name).mkdir()
    write(tmp_path / "step-1")
    assert set(hidden(tmp_path)) == {names["ours, alive"], names["another machine's"]}


def test_two_writers_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    def outer(folder: Path) -> None:
        filler("outer")(folder)
        write(tmp_path / "step-2", "inner")  # a second writer cleans up in the same folder meanwhile

    write_folder(tmp_path / "step-1", outer, format=FORMAT)
    assert content(tmp_path / "step-1") == "outer"
    assert content(tmp_path / "step-2") == "inner"


# -------------------------------------------------------------------------------------------------- the newest, pruning


def test_newest_is_the_numerically_largest(tmp_path: Path) -> None:
    assert newest_verified(tmp_path / "nowhere", format=FORMAT) == (None, [])
    assert newest_verified(tmp_path, format=FORMAT) == (None, [])
    for step in (9, 10, 100, 20):
        write(tmp_path / f"step-{step}")
    (tmp_path / "step-1000").write_text("a file")
    (tmp_path / "step-2000x").mkdir()
    (tmp_path / "notes").mkdir()
    (tmp_path / ".writing~step-3000~host~1~ab").mkdir()
    assert newest_verified(tmp_path, format=FORMAT) == (tmp_path / "step-100", [])
    assert [step for step, _ in steps_of(tmp_path)] == [100, 20, 10, 9]


def test_newest_falls_back_and_names_both(tmp_path: Path) -> None:
    for step in (8, 9, 10, 11):
        write(tmp_path / f"step-{step}")
    (tmp_path / "step-11" / "manifest.json").unlink()
    with (tmp_path / "step-10" / "file-0.bin").open("r+b") as file:
        file.write(b"X")
    found, warnings = newest_verified(tmp_path, format=FORMAT)
    assert found == tmp_path / "step-9"
    assert len(warnings) == 2
    assert "step-11" in warnings[0]
    assert "no manifest.json" in warnings[0]
    assert "step-10" in warnings[1]
    assert "file-0.bin has another content" in warnings[1]
    assert all("going on from step-9" in warning for warning in warnings)


def test_newest_says_when_none_is_whole(tmp_path: Path) -> None:
    (tmp_path / "step-3").mkdir()
    found, warnings = newest_verified(tmp_path, format=FORMAT)
    assert found is None
    assert "passing over step-3, and no older checkpoint is whole" in warnings[0]


def test_a_linked_step_is_passed_over_aloud_and_never_pruned(tmp_path: Path) -> None:
    write(tmp_path / "elsewhere" / "step-7")
    parent = tmp_path / "run"
    write(parent / "step-5")
    write(parent / "step-6")
    (parent / "step-7").symlink_to(tmp_path / "elsewhere" / "step-7")
    (parent / "step-4").symlink_to(tmp_path / "elsewhere" / "step-7")
    found, warnings = newest_verified(parent, format=FORMAT)
    assert found == parent / "step-6"
    assert "symbolic link" in warnings[0]
    assert prune(parent, 1, format=FORMAT) == []
    assert sorted(os.listdir(parent)) == ["step-4", "step-6", "step-7"]


def test_a_folder_of_another_format_is_no_step(tmp_path: Path) -> None:
    write(tmp_path / "step-1")
    write_folder(tmp_path / "step-2", filler("x"), format="another")
    found, warnings = newest_verified(tmp_path, format=FORMAT)
    assert found == tmp_path / "step-1"
    assert "'another' folder, not 'test'" in warnings[0]


def test_prune_keeps_the_newest_whole_ones(tmp_path: Path) -> None:
    for step in (1, 2, 9, 10, 11, 12):
        write(tmp_path / f"step-{step}")
    (tmp_path / "step-12" / "file-0.bin").unlink()  # newer than any whole one: stays for a look
    (tmp_path / "step-10" / "file-0.bin").unlink()  # older, and of no use
    assert prune(tmp_path, 2, format=FORMAT, protect={tmp_path / "step-1"}) == []
    assert sorted(os.listdir(tmp_path)) == ["step-1", "step-11", "step-12", "step-9"]


def test_prune_removes_nothing_when_the_newest_does_not_verify(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        write(tmp_path / f"step-{step}")
        with (tmp_path / f"step-{step}" / "file-0.bin").open("r+b") as file:
            file.write(b"X")  # same size: only the hash tells
    assert prune(tmp_path, 1, format=FORMAT) == []
    assert len(steps_of(tmp_path)) == 3
    with pytest.raises(CheckpointError, match="at least one"):
        prune(tmp_path, 0, format=FORMAT)


def test_prune_goes_back_to_the_newest_that_verifies(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        write(tmp_path / f"step-{step}")
    with (tmp_path / "step-3" / "file-0.bin").open("r+b") as file:
        file.write(b"X")
    prune(tmp_path, 1, format=FORMAT)
    assert sorted(os.listdir(tmp_path)) == ["step-2", "step-3"]


def test_a_failing_deletion_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for step in (1, 2, 3):
        write(tmp_path / f"step-{step}")
    rename = os.rename

    def stubborn(one: Path, other: Path) -> None:
        if Path(one).name == "step-1":
            raise PermissionError(13, "Permission denied")
        rename(one, other)

    monkeypatch.setattr(os, "rename", stubborn)
    warnings = prune(tmp_path, 1, format=FORMAT)
    assert len(warnings) == 1
    assert "step-1: Permission denied; remove it by hand" in warnings[0]
    assert sorted(os.listdir(tmp_path)) == ["step-1", "step-3"]
