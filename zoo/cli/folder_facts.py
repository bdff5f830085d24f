"""What a folder with a model says of it beside its config: what it is elsewhere, and how its weights are stored."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from zoo.checkpoint.model import WEIGHTS_NAME, read_card
from zoo.checkpoint.model import read_config as read_own_config
from zoo.checkpoint.tensors import DTYPES, open_tensors
from zoo.cli.screen import note
from zoo.errors import CheckpointError
from zoo.interop.folder import WHOLE, architecture_of, is_foreign, read_foreign_config, said_classes, stored_tensors
from zoo.interop.folder import open_foreign as open_headers
from zoo.models import ModelConfig
from zoo.quantity import short_number


class FolderFacts(NamedTuple):
    """What is known of the model in a folder; only headers of its weights are read.

    Attributes:
        config: of the model, as it is loaded.
        architecture: what it is in transformers, with the class where that is said; "": nobody says.
        stored: how its weights are stored, "114kB in bfloat16"; "": there are none.
    """

    config: ModelConfig
    architecture: str
    stored: str


def facts_of_folder(folder: Path) -> FolderFacts:
    """What is known of a model folder, ours or a foreign one; where its weights do not fit its config, a note says so.

    Raises:
        CheckpointError: a file is missing or damaged. ConfigError: an architecture or a setting that does not open.
    """
    if not is_foreign(folder):
        return FolderFacts(
            read_own_config(folder), str(read_card(folder).get("architecture", "")), _stored_by_us(folder)
        )
    name, classes = architecture_of(folder), said_classes(folder)
    architecture = f"{name} ({', '.join(classes)})" if classes else name
    if not any((folder / one).is_file() for one in WHOLE):
        return FolderFacts(read_foreign_config(folder), architecture, "")
    sizes: Counter[str] = Counter()
    for tensor in stored_tensors(folder).values():
        sizes[tensor.code] += tensor.shape.numel()
    try:
        config = open_headers(folder).config
    except CheckpointError as error:
        note(f"note: this is what config.json says, and it does not open: {error}")
        config = read_foreign_config(folder)
    return FolderFacts(config, architecture, _words(sizes))


def _stored_by_us(folder: Path) -> str:
    path = folder / WEIGHTS_NAME
    if not path.is_file():
        return ""
    sizes: Counter[str] = Counter()
    with open_tensors(path) as file:
        for name in file.keys():  # noqa: SIM118  (a file is no mapping)
            piece = file.get_slice(name)
            sizes[piece.get_dtype()] += math.prod(piece.get_shape())
    return _words(sizes)


def _words(numbers: Counter[str]) -> str:
    """How many bytes of each type, by safetensors' names of the types and how many numbers there are of each."""
    types = {code: DTYPES[code] for code in numbers if DTYPES[code].is_floating_point}  # others hold no weights
    return ", ".join(
        f"{short_number(count * types[code].itemsize)}B in {str(types[code]).removeprefix('torch.')}"
        for code, count in numbers.most_common()
        if code in types
    )
