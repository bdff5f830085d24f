"""What a training checkpoint says of the run as a whole: `standing.json` in its folder.

It is written with the checkpoint and covered by its manifest, so it can neither be older nor newer than that.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from zoo.checkpoint.disk import read_json
from zoo.errors import CheckpointError

NAME = "standing.json"
MAX_BYTES = 1 << 20


class RunStanding(NamedTuple):
    """How a run stood when the checkpoint was made.

    Attributes:
        metric: what decides which step is the best.
        best: (step, value of the metric) of the best validations whose checkpoints are kept, best first.
        ended: why the run ended early at this step; "": it did not.
    """

    metric: str
    best: list[tuple[int, float]]
    ended: str


def write_standing(folder: Path, standing: RunStanding) -> None:
    """Puts it into the folder of a checkpoint that is being written."""
    (folder / NAME).write_text(json.dumps(standing._asdict(), indent=2), encoding="utf-8")


def read_standing(folder: Path) -> RunStanding:
    """What the checkpoint says; raises CheckpointError where it is damaged. One without the file has no best step."""
    path = folder / NAME
    if not path.is_file():
        return RunStanding("", [], "")
    data = read_json(path, MAX_BYTES)
    try:
        best = [(int(step), float(value)) for step, value in data["best"]]
        return RunStanding(str(data["metric"]), best, str(data["ended"]))
    except (KeyError, TypeError, ValueError):
        raise CheckpointError(f"{path} is damaged: it does not say how the run stood") from None
