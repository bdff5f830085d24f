"""Where a run came from: `origin.json` in its folder, where it did not begin with weights of its own or was extended.

"init_from"  the folder that its first weights came from, and the hash of each file of them
"branched"   the run, the step and the hash of the checkpoint that it starts from
"extended"   each budget that was replaced by a larger one, and at which step
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from zoo.checkpoint.disk import read_json_object, replace_file
from zoo.checkpoint.manifest import MANIFEST_NAME
from zoo.errors import CheckpointError

FILE_NAME = "origin.json"
MAX_BYTES = 1 << 20


def read_origin(run: Path) -> dict[str, Any]:
    """What is recorded of a run; {} where nothing is."""
    return read_json_object(run / FILE_NAME, MAX_BYTES)


def record(run: Path, **entries: Any) -> None:
    """Adds entries to what is recorded of a run."""
    replace_file(run / FILE_NAME, json.dumps({**read_origin(run), **entries}, indent=2), durable=True)


def checkpoint_hash(checkpoint: Path) -> str:
    """SHA-256 of a checkpoint's manifest, which has that of every file."""
    return hashlib.sha256((checkpoint / MANIFEST_NAME).read_bytes()).hexdigest()


def refuse_unfinished_branch(run: Path) -> None:
    """Raises CheckpointError where a run is a branch that never got the checkpoint that it was to start from."""
    branched = read_origin(run).get("branched")
    if branched is not None:
        raise CheckpointError(
            f"{run} is a branch of {branched['run']} but has no checkpoint to go on from; give the zoo branch command "
            "again, or start anew with --fresh"
        )
