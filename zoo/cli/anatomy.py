"""What a model is made of, as rows of tables. The model has shapes and no data, so any size is described at once."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn

from zoo.models import Model, ModelConfig
from zoo.models.encoder_decoder import EncoderDecoder
from zoo.models.flops import RowShape, training_flops
from zoo.nn.attention import Attention
from zoo.nn.residual import Residual
from zoo.nn.stack import Stack

PartRow = tuple[str, int | None, str]


def empty_model(config: ModelConfig) -> Model:
    """The model without data."""
    with torch.device("meta"):
        return config.build_unset()


# ---------------------------------------------------------------------------------------------------------------- parts


def part_rows(model: Model) -> list[PartRow]:
    """(part, parameters, share of all) as an indented tree, the total last; what is shared counts where it is first."""
    total = model.num_parameters
    counted: set[int] = set()
    rows = []
    for depth, name, modules in _tree(model, 0):
        count = sum(parameter.numel() for parameter in _own(modules, counted if depth == LEAVES else set(counted)))
        rows.append((f"{'  ' * depth}{name}", count, f"{100 * count / total:.1f} %"))
    return [*rows, ("total", total, "")]


LEAVES = -1


def _own(modules: list[nn.Module], counted: set[int]) -> Iterator[nn.Parameter]:
    for module in modules:
        for parameter in module.parameters():
            if id(parameter) not in counted:
                counted.add(id(parameter))
                yield parameter


def _tree(module: nn.Module, depth: int) -> Iterator[tuple[int, str, list[nn.Module]]]:
    raise NotImplementedError
