"""What is read of an unsafe format, and how a pickle is opened.

`torch.load(weights_only=True)` builds tensors and plain values and refuses everything else, but its reader has had
holes, so even that is done for nobody who did not ask for it.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from zoo.checkpoint.dtypes import one_type
from zoo.checkpoint.model import listed, put, weights_of
from zoo.errors import CheckpointError, ConfigError
from zoo.models import Model, ModelConfig
from zoo.registry import Registry
from zoo.tokenizer.tokenizer import Tokenizer


class Read(NamedTuple):
    """A model in a foreign format.

    Attributes:
        config: ours. weights: by our names. tokenizer: None where the files have none.
        architecture: of transformers that computes the same; None: none, or several.
        stop: ids that end a text beside the tokenizer's own.
        dtype: the type of all weights, where the files say it.
    """

    config: ModelConfig
    weights: dict[str, Tensor]
    tokenizer: Tokenizer | None = None
    architecture: str | None = None
    stop: tuple[int, ...] = ()
    dtype: torch.dtype | None = None

    def build(self, source: object = "the model") -> Model:
        """The model, in evaluation mode, with weights of one type (`one_type`); `source` names it in a warning."""
        with torch.device("meta"):
            model = self.config.build_unset()
        parameters = {name for name, _ in model.named_parameters()}
        types = {name: tensor.dtype for name, tensor in self.weights.items() if name in parameters}
        dtype = one_type(types, self.dtype, source)
        for shared in weights_of(model):
            tensor = self.weights[shared.names[0]]
            put(shared, tensor if dtype is None or not tensor.is_floating_point() else tensor.to(dtype))
        return model.eval()


class Format(NamedTuple):
    """A format that is read only where somebody asks for it by name.

    Attributes:
        read: what reads a place of it.
        opens: what the place may be; "file": a folder that holds the file, too.
        patterns: what its files are called.
    """

    read: Callable[[Path], Read]
    opens: Literal["file", "folder"]
    patterns: tuple[str, ...]


UNSAFE: Registry[Format] = Registry("unsafe format")
"""Formats by name."""


def candidates(place: Path) -> list[str]:
    """The formats that a file or a folder may be of: those first whose own names of files it has, the longest first."""
    names = [place.name] if place.is_file() else [path.name for path in place.glob("*")]

    def likeness(name: str) -> int:
        fitting = [pattern for pattern in UNSAFE[name].patterns if fnmatch.filter(names, pattern)]
        return max(map(len, fitting), default=0)

    known = [name for name, format in UNSAFE.items() if place.is_dir() or format.opens == "file"]
    return sorted(known, key=likeness, reverse=True)


def read_pickle(path: Path) -> Any:
    """Tensors and plain values of a PyTorch file; raises CheckpointError where it is damaged or holds anything else."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror or error}") from None
    except Exception as error:  # its reader has errors of many types, whose words speak of opening the file unsafely
        found = _globals(path, error)
    if found:
        raise CheckpointError(
            f"cannot read {path} in weights-only mode: beside tensors and plain values it holds {listed(found)}, and "
            "what a pickle names can run code, so it was not opened. Where you trust its source, open it with what "
            "wrote it and save it again with nothing but tensors, numbers, text, lists and dicts in it (a path as "
            "text, NumPy's numbers with .item()), or the state dict alone as safetensors"
        )
    raise CheckpointError(
        f"cannot read {path} in weights-only mode: it is cut, damaged, or not what torch.save writes (a TorchScript "
        "archive, a web page or a Git LFS pointer is not); take another copy of it"
    )


def _globals(path: Path, error: Exception) -> list[str]:
    """The classes and functions that a PyTorch file names and that are not opened; the first where it is an old one."""
    try:
        return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))  # reads names, and opens nothing
    except Exception:  # no zip archive, which is all that this function reads
        return re.findall(r"GLOBAL (\S+)", str(error))[:1]


def the_file(place: Path, *patterns: str) -> Path:
    """The file itself, or the only one in a folder whose name fits; raises CheckpointError where that is not one."""
    if place.is_file():
        return place
    found = sorted({path for pattern in patterns for path in place.glob(pattern)}) if place.is_dir() else []
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise CheckpointError(
            f"{place} must be a file or hold one that is called {' or '.join(patterns)} (found: {names})"
        )
    return found[0]


def whole_numbers(said: Any, names: tuple[str, ...], path: Path) -> dict[str, int]:
    """Settings that must be there and be positive whole numbers; raises CheckpointError with all that are not."""
    found = said if isinstance(said, Mapping) else {}
    wrong = [f"{name}={found.get(name)!r}" for name in names if type(found.get(name)) is not int or found[name] < 1]
    if wrong:
        raise CheckpointError(f"{path} does not say how large its model is: {', '.join(wrong)}")
    return {name: found[name] for name in names}


def refuse_unknown(said: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    """Raises ConfigError with the settings that are not read here: they may change what the model computes."""
    if unknown := [f"{key}={value!r:.40}" for key, value in said.items() if key not in known]:
        raise ConfigError(
            f"{where}: {', '.join(unknown)}: not known here, and may change what the model computes (known: "
            f"{', '.join(known)}); if it does not in this model, take it out of there"
        )


def plain_weights(said: Any, path: Path) -> dict[str, Tensor]:
    """Tensors by name, the prefix of a compiled model left out; raises CheckpointError where it is something else."""
    if not isinstance(said, Mapping) or not all(isinstance(tensor, Tensor) for tensor in said.values()):
        raise CheckpointError(f"{path} holds no weights by name")
    return {str(name).removeprefix("_orig_mod."): tensor for name, tensor in said.items()}


def refuse_difference(weights: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]], path: Path) -> None:
    """Raises CheckpointError with everything that is missing, left over or of another shape."""
    problems = {
        "missing": [name for name in shapes if name not in weights],
        "left over": [name for name in weights if name not in shapes],
        "wrong shape": [
            f"{name} is {tuple(weights[name].shape)}, not {shape}"
            for name, shape in shapes.items()
            if name in weights and tuple(weights[name].shape) != shape
        ],
    }
    if any(problems.values()):
        told = "; ".join(f"{what}: {', '.join(names)}" for what, names in problems.items() if names)
        raise CheckpointError(f"{path}: its weights are not those that it says: {told}")
