"""What is read of an unsafe format, and how a pickle is opened.

`torch.load(weights_only=True)` builds tensors and plain values and refuses everything else, but its reader has had
holes, so even that is done for nobody who did not ask for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

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
    """

    config: ModelConfig
    weights: dict[str, Tensor]
    tokenizer: Tokenizer | None = None
    architecture: str | None = None
    stop: tuple[int, ...] = ()

    def build(self) -> Model:
        """The model, in evaluation mode."""
        with torch.device("meta"):
            model = self.config.build_unset()
        model.load_state_dict(self.weights, assign=True)
        return model.eval()


UNSAFE: Registry[Callable[[Path], Read]] = Registry("unsafe format")
"""Name of a format → what reads a file or a folder of it."""


def read_pickle(path: Path) -> Any:
    """Tensors and plain values of a PyTorch file; raises CheckpointError where it is damaged or holds anything else."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # its reader has errors of many types
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CheckpointError(f"cannot read {path} in weights-only mode: {reason:.300}") from None


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
