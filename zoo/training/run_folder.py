"""The folder of a run, and who may write in it.

    runs/<name>/
        config.yaml        the resolved config; running it again continues or repeats the run
        environment.json   versions, device, own blocks
        imports/           own blocks as they were, for the record
        data.json          what the text is like
        metrics.csv        the log; evaluation/, samples.jsonl and tensorboard/ beside it: see logs.py
        tokenizer/         opens by itself
        checkpoints/       step-N folders
        result.json        written when the run is finished
        report.html        the picture of all of it
        origin.json        where it came from, if it was branched off or extended (`origin.py`)

One process at a time: the lock is the operating system's, so it goes with its owner, however that ends. Processes that
the owner forks (data workers) do not inherit it: they may outlive a killed owner for some seconds.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import platform
import shlex
import shutil
import socket
import warnings
from importlib import metadata
from pathlib import Path
from typing import IO, Any

from zoo.checkpoint.disk import replace_file
from zoo.checkpoint.folder import steps_of
from zoo.config import difference, flatten, to_mapping
from zoo.config_text import read_yaml, to_yaml
from zoo.errors import CheckpointError, ConfigError
from zoo.training.config import HARMLESS, OF_VALIDATIONS, RunConfig
from zoo.training.imports import check_same_imports, keep, recorded, records
from zoo.training.launch import rank
from zoo.training.origin import FILE_NAME as ORIGIN
from zoo.training.origin import read_origin
from zoo.training.wandb_files import ID as WANDB_ID
from zoo.training.wandb_files import STEP as WANDB_STEP

PACKAGES = (
    "transformer-zoo",
    "torch",
    "pytorch-lightning",
    "tokenizers",
    "datasets",
    "omegaconf",
    "safetensors",
    "numpy",
    "tensorboard",
    "wandb",
)
OF_ONE_RUN = (ORIGIN, WANDB_ID, WANDB_STEP)
"""Files that say which run this is: they go where another config takes over a folder that has no work in it."""
BEFORE_STEPS = {".lock", "config.yaml", "environment.json", "imports", "data.json", "tokenizer", "checkpoints", ORIGIN}
"""What a run may have written before its first step."""
_LOCKS: set[IO[str]] = set()
"""Locks that this process holds."""


class RunFolder:
    """A locked run folder; of several ranks, the first owns it and the others only know where it is.

    Args:
        path: the folder; made where it is missing.
        config: the run that wants it.
        fresh: whether what an older run left there is moved aside.

    Raises:
        CheckpointError: the folder cannot be written, another process runs in it, or a different config made it.
    """

    def __init__(self, path: Path, config: RunConfig, fresh: bool = False) -> None:
        self.path = path
        self.moved: Path | None = None
        self.is_owner = rank() == 0
        self._lock: IO[str] | None = None
        self._is_new = False
        if not self.is_owner:
            return
        try:
            if fresh and path.exists():
                self.moved = _move_aside(path)
            self._is_new = not os.path.lexists(path)
            self.checkpoints.mkdir(parents=True, exist_ok=True)
            self._lock = _lock(path)
        except OSError as error:
            raise CheckpointError(
                f"cannot write in the run folder {path} ({error.strerror}); choose another with --folder"
            ) from None
        try:
            self._claim(config)
        except BaseException:
            self.close()
            raise

    @property
    def checkpoints(self) -> Path:
        """Where the step-N folders are."""
        return self.path / "checkpoints"

    @property
    def metrics(self) -> Path:
        """The log."""
        return self.path / "metrics.csv"

    @property
    def result(self) -> Path:
        """What a finished run leaves."""
        return self.path / "result.json"

    def close(self) -> None:
        """Lets another process have the folder."""
        if self._lock is not None:
            _unlock(self._lock)
            self._lock = None

    def discard(self) -> None:
        """Removes a folder that this run made and that no step was trained in; what anybody else put there stays."""
        if not self._is_new or self._has_work() or {path.name for path in self.path.iterdir()} - BEFORE_STEPS:
            return
        with contextlib.suppress(OSError):  # what cannot be removed is what a run that was killed leaves as well
            aside = self.path.with_name(f".{self.path.name}.failed-{os.getpid()}")
            os.rename(self.path, aside)  # at once, so that another run finds the locked folder, or none
            shutil.rmtree(aside)

    def _has_work(self) -> bool:
        return self.result.exists() or _has_rows(self.metrics) or bool(steps_of(self.checkpoints))

    def _claim(self, config: RunConfig) -> None:
        """Writes the config; where a run has left something in the folder, only if it is the config that made it."""
        path = self.path / "config.yaml"
        if self._has_work():
            if not path.exists():
                raise CheckpointError(f"{self.path} has a run but no config.yaml; choose another folder or use --fresh")
            check_same_run(self.path, flatten(read_yaml(path).settings), flatten(to_mapping(config)))
            check_same_imports(self.path, recorded(self.path), records())
        elif not path.exists() or changes(flatten(read_yaml(path).settings), flatten(to_mapping(config))):
            for name in OF_ONE_RUN:
                (self.path / name).unlink(missing_ok=True)
        self.write_config(config)
        if not self.result.exists():  # of a finished run it stays what the run was made in
            replace_file(self.path / "environment.json", json.dumps(environment(), indent=2), durable=True)
        keep(self.path)

    def write_config(self, config: RunConfig) -> None:
        """Writes the config of the run, with the command that repeats it."""
        path, default = self.path / "config.yaml", Path("runs") / config.name
        where = "" if self.path == default else f" --folder {shlex.quote(str(self.path))}"
        replace_file(path, f"# zoo pretrain {shlex.quote(str(path))}{where}\n{to_yaml(config)}", durable=True)


def check_same_run(folder: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    """Raises ConfigError with the difference where a config did not make this folder."""
    if changed := changes(before, now):
        _tell_of_extension(folder, changed)
        lines = "; ".join(f"{key} was {old!r}, is {new!r}" for key, old, new in changed)
        if before.get("best.patience") is not None and any(key in OF_VALIDATIONS for key, _, _ in changed):
            lines += "; by best.patience, validations decide where it ends"
        raise ConfigError(
            f"{folder} was made by a different config ({lines}); {_longer(folder, changed)}give the run another name "
            "(name=…), or start anew with --fresh, which moves the old folder aside"
        )


def _tell_of_extension(folder: Path, changed: list[tuple[str, Any, Any]]) -> None:
    """Raises ConfigError where nothing differs but the budget that the run had before it was extended."""
    key, longer, _ = changed[0]
    extended = read_origin(folder).get("extended") if len(changed) == 1 and key.startswith("trainer.max_") else None
    if not extended or extended[-1]["to"] != key.removeprefix("trainer.") + f"={longer:.12g}":
        return
    if (folder / "result.json").exists():
        state = "is finished: there is nothing to do"
    else:
        state = f"is not finished: zoo pretrain {shlex.quote(str(folder))} goes on with it"
    raise ConfigError(f"{folder} was extended to {key}={longer:.12g} and {state}; --fresh starts anew")


def _longer(folder: Path, changed: list[tuple[str, Any, Any]]) -> str:
    """What to do where nothing changed but a budget that grew; "": something else did."""
    key, old, new = changed[0]
    numbers = isinstance(old, int | float) and isinstance(new, int | float)
    if len(changed) > 1 or not key.startswith("trainer.max_") or not numbers or new <= old:
        return ""
    return f"to go on for longer: zoo extend {shlex.quote(str(folder))} {key}={new}; otherwise "


def changes(before: dict[str, Any], now: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    """(dotted key, before, now) of the settings that make another run of it; both configs are flat."""
    harmless = harmless_keys(before.get("best.patience"))
    return [row for row in difference(before, now) if not is_among(row[0], harmless)]


def harmless_keys(patience: int | None) -> tuple[str, ...]:
    """Keys, of groups too, that may differ between a run with this `best.patience` and its continuation."""
    return HARMLESS if patience is not None else (*HARMLESS, *OF_VALIDATIONS)


def is_among(key: str, keys: tuple[str, ...]) -> bool:
    """Whether a setting is one of these or stands in a group that is."""
    return any(f"{key}.".startswith(f"{one}.") for one in keys)


def _has_rows(metrics: Path) -> bool:
    """Whether something was logged; a run that broke off in its first step leaves the names of the columns alone."""
    if not metrics.is_file():
        return metrics.exists()
    with metrics.open("rb") as file:
        return len(file.readlines(1 << 20)) > 1


def _move_aside(path: Path) -> Path | None:
    """Renames an old run folder; an empty folder stays; another one is refused, lest a home directory be moved."""
    if not any(path.iterdir()):
        return None
    if not (path / "config.yaml").exists() and not (path / "checkpoints").is_dir():
        raise CheckpointError(
            f"{path} is not a run folder, and --fresh moves nothing else aside; choose another folder"
        )
    lock = _lock(path)
    try:
        number = 1
        while (aside := path.with_name(f"{path.name}.old-{number}")).exists():
            number += 1
        os.rename(path, aside)
    finally:
        _unlock(lock)
    return aside


def _lock(path: Path) -> IO[str]:
    """Takes the lock of a folder; raises CheckpointError where another process has it."""
    file = (path / ".lock").open("a+")
    _LOCKS.add(file)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        owner = file.read().strip() or "another process"
        _unlock(file)
        raise CheckpointError(f"{path} is in use by {owner}; wait for it, or give this run another name") from None
    except OSError as error:
        warnings.warn(
            f"the file system of {path} has no locks ({error.strerror}): make sure that no other process runs there",
            stacklevel=2,
        )
    file.truncate(0)
    file.write(f"process {os.getpid()} on {socket.gethostname()}")
    file.flush()
    return file


def _unlock(file: IO[str]) -> None:
    _LOCKS.discard(file)
    file.close()


def _forget_locks() -> None:
    """In a forked child: closes its copies, so that the locks end with the process that took them."""
    for file in _LOCKS:
        os.close(file.fileno())
    _LOCKS.clear()


os.register_at_fork(after_in_child=_forget_locks)


def environment() -> dict[str, Any]:
    """What the run ran on: versions, machine, threads, devices (no environment variables: they may hold secrets)."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed"
    import torch

    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": versions,
        "imports": records(),
        "threads": torch.get_num_threads(),
        "devices": [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())] or ["cpu"],
    }
