"""A Hugging Face folder whose weights are in pytorch_model.bin, whole or in shards, as all were before safetensors."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from zoo.checkpoint.disk import read_json
from zoo.errors import CheckpointError
from zoo.interop.folder import CONFIG_NAME, MAX_CONFIG_BYTES, MAX_INDEX_BYTES, architecture_of, read_foreign_config
from zoo.interop.unsafe.base import UNSAFE, Read, plain_weights, read_pickle
from zoo.interop.weights import to_zoo
from zoo.tokenizer.foreign import find_tokenizer

NAME = "pytorch_model.bin"
INDEX = "pytorch_model.bin.index.json"


def read_pytorch(place: Path) -> Read:
    """The model in a folder with config.json and pytorch_model.bin.

    Raises:
        CheckpointError: a file is missing or damaged, or the weights are not those of the config.
        ConfigError: the architecture or a setting is not covered.
    """
    if not place.is_dir() or not (place / CONFIG_NAME).is_file():
        raise CheckpointError(f"{place} must be a folder with {CONFIG_NAME} and {NAME}")
    read_foreign_config(place)  # what does not open is told before weights are read
    name = architecture_of(place)
    weights: dict[str, Tensor] = {}
    for path in _files(place):
        weights |= plain_weights(read_pickle(path), path)
    try:
        ours = to_zoo(name, weights, read_json(place / CONFIG_NAME, MAX_CONFIG_BYTES))
    except CheckpointError as error:
        raise CheckpointError(f"{place}: {error}") from None
    return Read(read_foreign_config(place, weights), ours, find_tokenizer(place), name)


def _files(place: Path) -> list[Path]:
    if (place / NAME).is_file():
        return [place / NAME]
    if not (place / INDEX).is_file():
        raise CheckpointError(f"{place} has no {NAME}")
    index = read_json(place / INDEX, MAX_INDEX_BYTES)
    names = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(names, dict) or not all(isinstance(n, str) and Path(n).name == n for n in names.values()):
        raise CheckpointError(f"{place / INDEX} is damaged: weight_map must give each tensor a file beside it")
    files = [place / name for name in sorted(set(names.values()))]
    if missing := [path.name for path in files if not path.is_file()]:
        raise CheckpointError(f"{place} lacks {', '.join(missing)}, which {INDEX} names")
    return files


UNSAFE.add("pytorch", read_pytorch)
