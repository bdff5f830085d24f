"""A foreign model folder as Hugging Face's libraries write it: config.json and safetensors, whole or in shards.

Reading it reads data: no code of the folder runs, nothing outside it is touched, the network stays closed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from zoo.checkpoint.disk import read_json
from zoo.checkpoint.tensors import load_tensors
from zoo.errors import CheckpointError, ConfigError
from zoo.interop.base import ARCHITECTURES
from zoo.interop.configs import read_config
from zoo.interop.weights import to_zoo
from zoo.models import ModelConfig
from zoo.registry import unknown_name

CONFIG_NAME = "config.json"
WEIGHTS_NAME = "model.safetensors"
INDEX_NAME = "model.safetensors.index.json"
MAX_CONFIG_BYTES = 1 << 20
MAX_INDEX_BYTES = 64 << 20


def is_foreign(folder: Path) -> bool:
    """Whether a folder says what it is in the foreign way."""
    return (folder / CONFIG_NAME).is_file()


def read_foreign_config(folder: Path) -> ModelConfig:
    """Our config of the model in a foreign folder.

    Raises:
        CheckpointError: the file is missing or damaged. ConfigError: the architecture or a setting is not covered.
    """
    name, config = _config_in(folder)
    try:
        return read_config(name, config)
    except ConfigError as error:
        raise ConfigError(f"{folder / CONFIG_NAME}: {error}") from None


def read_foreign_weights(folder: Path) -> dict[str, Tensor]:
    """Our weights of the model in a foreign folder, by our names, shared ones under each of theirs.

    Raises:
        CheckpointError: a file is missing or damaged, or the weights are not those of the config.
        ConfigError: the architecture or a setting is not covered.
    """
    tensors: dict[str, Tensor] = {}
    for path in weight_files(folder):
        tensors |= load_tensors(path)
    name, config = _config_in(folder)
    try:
        return to_zoo(name, tensors, config)
    except CheckpointError as error:
        raise CheckpointError(f"{folder}: {error}") from None


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a foreign folder; raises CheckpointError where it has none, or a shard is missing."""
    if (folder / WEIGHTS_NAME).is_file():
        return [folder / WEIGHTS_NAME]
    if not (folder / INDEX_NAME).is_file():
        others = ", ".join(sorted(path.name for path in folder.glob("*.bin"))) or "none"
        raise CheckpointError(
            f"{folder} has no {WEIGHTS_NAME} (other weights: {others}; those are pickles, which run code when they are "
            "opened: save the model as safetensors)"
        )
    index = read_json(folder / INDEX_NAME, MAX_INDEX_BYTES)
    names = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(names, dict) or not all(isinstance(n, str) and Path(n).name == n for n in names.values()):
        raise CheckpointError(f"{folder / INDEX_NAME} is damaged: weight_map must give each tensor a file beside it")
    files = [folder / name for name in sorted(set(names.values()))]
    if missing := [path.name for path in files if not path.is_file()]:
        raise CheckpointError(f"{folder} lacks {', '.join(missing)}, which {INDEX_NAME} names")
    return files


def _config_in(folder: Path) -> tuple[str, dict[str, Any]]:
    config = read_json(folder / CONFIG_NAME, MAX_CONFIG_BYTES)
    name = config.get("model_type") if isinstance(config, dict) else None
    if not isinstance(name, str) or name not in ARCHITECTURES:
        raise ConfigError(f"{folder / CONFIG_NAME}: {unknown_name('architecture', str(name), ARCHITECTURES)}")
    return name, config
