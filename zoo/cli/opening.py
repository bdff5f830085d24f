"""The model that a verb uses: where it lies, where it runs, and in which numbers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zoo.hub import is_hub_name

if TYPE_CHECKING:
    from zoo.pretrained import Pretrained

Device = Annotated[
    str | None,
    typer.Option(
        metavar="cpu|cuda|cuda:1", help="where the model runs; where nobody says, a GPU if torch sees one, else the CPU"
    ),
]
Dtype = Annotated[
    str | None,
    typer.Option(metavar="float32|bfloat16", help="the numbers of its weights; as they are stored where nobody says"),
]


def check_folder(folder: str) -> None:
    """Raises CheckpointError where there is no such folder, before anything else of a command is looked at."""
    place = Path(folder).expanduser()
    if not is_hub_name(folder) and not place.is_dir():
        from zoo.loading import model_folder

        model_folder(place)


def open_model(folder: str, which: str, weights: str, device: str | None, dtype: str | None) -> Pretrained:
    """The model of a folder, ready to use.

    Args:
        folder, which, weights, dtype: as in `zoo.load`.
        device: as in `zoo.load`; None: a CUDA GPU if torch sees one, else the CPU, as `zoo evaluate` chooses.

    Raises:
        CheckpointError, ConfigError, DataError: as `zoo.load`.
    """
    import torch

    from zoo.loading import load

    chosen = device or ("cuda" if torch.cuda.is_available() else "cpu")
    return load(folder, which=which, weights=weights, device=chosen, dtype=dtype)
