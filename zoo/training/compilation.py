"""Training steps through torch.compile.

What is compiled is the backbone's forward and backward in training; heads, losses, the optimizer and every evaluation
stay eager, so that a validation is what any other process measures. Rows of a run have one width, so there is one graph
for each group of objectives that has rows of its own; shapes are static (`dynamic=False`), because code for shapes that
vary would depend on which of them came first, and a continued run would not end bit for bit like one without a break.

The results are those of eager training up to rounding, but for dropout: compiled code draws masks of its own, from the
same key, so that compiled runs repeat and continue as exactly as others do.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from zoo.errors import ConfigError
from zoo.models.base import Backbone

KEY = "trainer.compile"


def check_compile(recompute: str, warmups: Mapping[str, object]) -> None:
    """Raises ConfigError where compiled steps do not go with the rest of the trainer.

    Args:
        recompute: which activations are made again in the backward.
        warmups: what changes the shape of a batch in the midst of a run, by its key; None: it does not.
    """
    for key, warmup in warmups.items():
        if warmup is not None:
            raise ConfigError(
                f"true does not go with trainer.{key}: each shape of a batch is compiled by itself; use false, or null "
                "there",
                KEY,
            )
    if recompute != "none":
        raise ConfigError(
            f"true does not go with trainer.recompute={recompute}: torch.compile decides itself what it keeps for the "
            "backward; use one of the two",
            KEY,
        )


def check_compiler(device: str) -> None:
    """Raises ConfigError where this machine cannot compile for this type of device."""
    compiler = os.environ.get("CXX", "g++")
    if device == "cpu" and not (shutil.which(compiler) or shutil.which("clang++")):
        raise ConfigError(
            f"true needs a C++ compiler on CPUs, and there is no {compiler!r}; install one (g++), name it in CXX, or "
            "use false",
            KEY,
        )


def compiled(backbone: Backbone) -> Callable[..., Tensor]:
    """The backbone's forward, compiled when it is first called; the backbone itself stays as it is."""
    forward: Any = torch.compile(backbone.forward, dynamic=False)
    return forward
