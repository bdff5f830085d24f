"""A Hugging Face folder whose weights are in pytorch_model.bin, whole or in shards, as all were before safetensors."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from zoo.checkpoint.disk import read_json
from zoo.errors import CheckpointError
from zoo.interop.folder import CONFIG_NAME, MAX_CONFIG_BYTES, architecture_of, read_foreign_config, said_type
from zoo.interop.shards import check_files, check_places, read_index, refuse_shards
from zoo.interop.unsafe.base import UNSAFE, Format, Read, plain_weights, read_pickle
from zoo.interop.weights import to_zoo
from zoo.tokenizer.foreign import find_tokenizer

NAME = "pytorch_model.bin"
INDEX = "pytorch_model.bin.index.json"
WEIGHTS = ("pytorch_model.bin", "pytorch_model-*.bin")
"""What could be weights of the model, and so must be in an index where there is one; pytorch_model.fp16.bin and the
like are variants of it."""


def read_pytorch(place: Path) -> Read:
    """The model in a folder with config.json and pytorch_model.bin.

    Raises:
        CheckpointError: a file is missing or damaged, the shards are not as the index says, or the weights are not
            those of the config.
        ConfigError: the architecture or a setting is not covered.
    """
    if not place.is_dir() or not (place / CONFIG_NAME).is_file():
        raise CheckpointError(f"{place} must be a folder with {CONFIG_NAME} and {NAME}")
    read_foreign_config(place)  # what does not open is told before weights are read
    name, config = architecture_of(place), read_json(place / CONFIG_NAME, MAX_CONFIG_BYTES)
    weights: dict[str, Tensor] = {}
    held: list[tuple[str, str]] = []
    for path in _files(place):
        inside = plain_weights(read_pickle(path), path)
        held += [(tensor, path.name) for tensor in inside]
        weights |= inside
    check_places(place, INDEX, read_index(place, INDEX), held)
    try:
        ours = to_zoo(name, weights, config)
    except CheckpointError as error:
        raise CheckpointError(f"{place}: {error}") from None
    return Read(read_foreign_config(place, weights), ours, find_tokenizer(place), name, dtype=said_type(config))


def _files(place: Path) -> list[Path]:
    there = {path.name for pattern in WEIGHTS for path in place.glob(pattern)}
    if (place / INDEX).is_file():
        names = {*read_index(place, INDEX).values()}
        check_files(place, INDEX, names, there)
        return [place / name for name in sorted(names)]
    if not (place / NAME).is_file():
        raise CheckpointError(f"{place} has no {NAME}")
    refuse_shards(place, NAME, INDEX, there)
    return [place / NAME]


UNSAFE.add("pytorch", Format(read_pytorch, "folder", WEIGHTS))
