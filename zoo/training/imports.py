"""Own blocks and runs: what a run was made with it needs to go on, on every rank and in every worker.

What executes the files, and when, is in `zoo/own_blocks.py`. A run folder keeps

    environment.json        "imports": name and SHA-256 of each file
    imports/                the files as they were, for the record: nothing here is ever executed by itself
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.errors import ConfigError
from zoo.own_blocks import OwnBlocks, execute, executed, in_words, short

if TYPE_CHECKING:
    import pytorch_lightning as lightning

Records = list[dict[str, str]]


def import_blocks(path: str | Path, expected: str | None = None) -> OwnBlocks:
    """Registers a user's own blocks: what `--import` does on the command line, from Python.

        zoo.import_blocks("my_blocks.py")

    Args:
        path: a file of Python that registers classes or entries; it is executed, once.
        expected: the SHA-256 that its content must have; None: any, or what a parent process has imported.

    Raises:
        ConfigError: the file is missing, changed since, broken, or registers what is there already.
    """
    # What zoo itself registers comes first, so that of two claims on one name the file's is refused.
    import zoo.models.presets
    import zoo.training.config  # noqa: F401

    return execute(path, expected)


def records() -> Records:
    """Name and SHA-256 of everything that this process has imported."""
    return [blocks.record for blocks in executed()]


def recorded(run: Path) -> Records:
    """What a run folder was made with; [] where nothing says so."""
    path = run / "environment.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8")).get("imports", []) if path.is_file() else []
        return [{"file": str(one["file"]), "sha256": str(one["sha256"])} for one in found]
    except (OSError, ValueError, AttributeError, TypeError, KeyError):
        raise ConfigError(f"{path} is damaged: it does not say what the run was made with") from None


def keep(run: Path) -> None:
    """Puts what was imported beside the run, as it was executed."""
    for blocks in executed():
        folder = run / "imports"
        folder.mkdir(exist_ok=True)
        (folder / f"{short(blocks.sha256)}-{blocks.path.name}").write_bytes(blocks.content)


def check_same_imports(run: Path, before: Records, now: Records) -> None:
    """Raises ConfigError where a run folder was made with other own blocks than are imported now."""
    if sorted(one["sha256"] for one in before) == sorted(one["sha256"] for one in now):
        return
    if not before:
        raise ConfigError(
            f"{run} was made without {in_words(now)}; leave it out, give the run another name (name=…), or start anew "
            "with --fresh"
        )
    by_name = {one["file"]: one for one in now}
    states = []
    for one in before:
        there = by_name.get(one["file"])
        if there is None:
            states.append(f"{one['file']} is not imported now")
        elif there["sha256"] != one["sha256"]:
            states.append(f"that file is now another (sha256 {short(there['sha256'])})")
    extra = [one for one in now if one["file"] not in {earlier["file"] for earlier in before}]
    states += [f"{one['file']} was not imported then" for one in extra]
    raise ConfigError(
        f"{run} was made with {in_words(before)}; {', '.join(states)}: import the same files (they are kept, as they "
        f"were, in {run / 'imports'}), give the run another name (name=…), or start anew with --fresh"
    )


def check_ranks(trainer: lightning.Trainer) -> None:
    """Raises ConfigError on a rank whose files are not those of the first, as on a machine with older copies."""
    first: Records = trainer.strategy.broadcast(records())
    if first != records():
        raise ConfigError(
            f"the first rank has {in_words(first) or 'no imports'}, rank {trainer.global_rank} has "
            f"{in_words(records()) or 'none'}: all ranks need the same files"
        )
