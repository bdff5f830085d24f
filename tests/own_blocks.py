"""Files of own blocks for tests, and a registry that forgets them."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import ROOT
from zoo import own_blocks
from zoo.registry import tables

EXAMPLE = ROOT / "recipes" / "own_blocks" / "my_blocks.py"

NORM = '''
from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from zoo.config import setting
from zoo.nn.norm import NormConfig


@dataclass(frozen=True, kw_only=True)
class HalfConfig(NormConfig, kind="half"):
    """Times a number."""

    factor: float = setting(0.5, "the number", above=0)

    def build(self, dim: int) -> nn.Module:
        """The norm."""
        return Half(self.factor)


class Half(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, hidden):
        return hidden * self.factor
'''
"""Registers the norm "half"."""

OBJECTIVE = '''
from dataclasses import dataclass

from zoo.objectives.causal_lm import CausalLMConfig


@dataclass(frozen=True, kw_only=True)
class OwnConfig(CausalLMConfig, kind="own"):
    """The next token, by another name."""
'''
"""Registers the objective "own"."""


def write(folder: Path, text: str = NORM, name: str = "my_blocks.py") -> Path:
    """The text as a file."""
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@contextlib.contextmanager
def forgotten() -> Iterator[None]:
    """At its end nothing is registered, recorded or told to children that was not before."""
    import zoo.models.presets
    import zoo.training.config  # noqa: F401  (what zoo registers itself must not be forgotten)

    before = [(table, dict(table)) for _, table in tables()]
    executed, variable = dict(own_blocks._EXECUTED), os.environ.pop(own_blocks.VARIABLE, None)
    try:
        yield
    finally:
        for table, entries in before:
            table.clear()
            table.update(entries)
        for name in [name for name in sys.modules if name.startswith("zoo_import_")]:
            del sys.modules[name]
        own_blocks._EXECUTED.clear()
        own_blocks._EXECUTED.update(executed)
        os.environ.pop(own_blocks.VARIABLE, None)
        if variable is not None:
            os.environ[own_blocks.VARIABLE] = variable
