"""The folder of a run, and who may write in it.

    runs/<name>/
        config.yaml        the resolved config; running it again continues or repeats the run
        environment.json   versions, device, command
        metrics.csv        the log
        tokenizer/         opens by itself
        checkpoints/       step-N folders
        result.json        written when the run is finished

One process at a time: the lock is the operating system's, so it goes with its owner, however that ends.
"""

from __future__ import annotations

import fcntl
import json
import os
import platform
import socket
import sys
from importlib import metadata
from pathlib import Path
from typing import IO, Any

from pytorch_lightning.utilities.rank_zero import rank_zero_only

from zoo.config import difference, flatten, read_yaml, to_mapping, to_yaml
from zoo.errors import CheckpointError, ConfigError
from zoo.training.config import HARMLESS, RunConfig

PACKAGES = ("torch", "pytorch-lightning", "tokenizers", "datasets", "omegaconf", "safetensors", "numpy", "wandb")


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
        self.is_owner = rank_zero_only.rank == 0
        self._lock: IO[str] | None = None
        if not self.is_owner:
            return
        if fresh and path.exists():
            with _lock(path):
                self.moved = _move_aside(path)
        try:
            self.checkpoints.mkdir(parents=True, exist_ok=True)
            self._lock = _lock(path)
        except OSError as error:
            raise CheckpointError(
                f"cannot write in the run folder {path} ({error.strerror}); choose another with --folder"
            ) from None
        self._claim(config)

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
            self._lock.close()

    def _claim(self, config: RunConfig) -> None:
        """Writes the config, or checks it against the one that made the folder."""
        path = self.path / "config.yaml"
        if path.exists():
            check_same_run(self.path, flatten(read_yaml(path).settings), flatten(to_mapping(config)))
        elif any(self.checkpoints.iterdir()):
            raise CheckpointError(f"{self.path} has checkpoints but no config.yaml; choose another folder or use --fresh")
        write_text(path, f"# zoo pretrain {path}\n{to_yaml(config)}")
        write_text(self.path / "environment.json", json.dumps(environment(), indent=2))


def check_same_run(folder: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    """Raises ConfigError with the difference where a config did not make this folder."""
    changed = [row for row in difference(before, now) if row[0] not in HARMLESS]
    if changed:
        lines = "; ".join(f"{key} was {old!r}, is {new!r}" for key, old, new in changed)
        raise ConfigError(
            f"{folder} was made by a different config ({lines}); give the run another name (name=…), or start anew "
            "with --fresh, which moves the old folder aside"
        )


def _move_aside(path: Path) -> Path:
    number = 1
    while (aside := path.with_name(f"{path.name}.old-{number}")).exists():
        number += 1
    os.rename(path, aside)
    return aside


def _lock(path: Path) -> IO[str]:
    """Takes the lock of a folder; raises CheckpointError where another process has it."""
    file = (path / ".lock").open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.seek(0)
        owner = file.read().strip() or "another process"
        file.close()
        raise CheckpointError(f"{path} is in use by {owner}; wait for it, or give this run another name") from None
    file.truncate(0)
    file.write(f"process {os.getpid()} on {socket.gethostname()}")
    file.flush()
    return file


def write_text(path: Path, text: str) -> None:
    """Replaces a small file whole."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def environment() -> dict[str, Any]:
    """What the run ran on: versions, machine, command (without the environment's variables, which may hold secrets)."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed"
    import torch

    import zoo

    return {
        "zoo": zoo.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": versions,
        "threads": torch.get_num_threads(),
        "devices": [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())] or ["cpu"],
        "command": sys.argv,
    }
