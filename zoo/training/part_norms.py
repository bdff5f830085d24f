"""How large gradients and updates are, part by part: what tells which part of a model learns too fast or not at all.

A part is a layer of a stack, or what stands beside the layers: the token table, positions, final norms, heads. The norm
of an update is that of the real change of the weights, whatever the optimizer does. It costs a copy of the weights, so
only steps that are logged are looked at.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

BLOCKS = "blocks"


def part_of(name: str) -> str:
    """The part that a parameter belongs to: backbone.stack.blocks.3.feed_forward.… → stack.blocks.3."""
    words = name.removeprefix("backbone.").split(".")[:-1]
    return ".".join(words[: words.index(BLOCKS) + 2] if BLOCKS in words else words[:2])


def parts_of(model: nn.Module) -> dict[str, list[nn.Parameter]]:
    """The trained parameters by part, in the order of the model."""
    parts: dict[str, list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            parts.setdefault(part_of(name), []).append(parameter)
    return parts


def norm_columns(model: nn.Module) -> list[str]:
    """What a `PartNorms` measures, in order."""
    return [f"{what}/{part}" for what in ("gradient_norm", "update_norm") for part in parts_of(model)]


class PartNorms:
    """Measures what happens inside its `with` block: gradients when it is entered, the change of weights by its end.

    Args:
        model: whose.

    Attributes:
        row: by column, of the last block.
    """

    def __init__(self, model: nn.Module) -> None:
        self.parts = parts_of(model)
        self.row: dict[str, float] = {}
        self._before: list[Tensor] = []

    @torch.no_grad()
    def __enter__(self) -> PartNorms:
        self.row = {
            f"gradient_norm/{part}": _norm([each.grad for each in parameters if each.grad is not None])
            for part, parameters in self.parts.items()
        }
        self._before = [each.clone() for parameters in self.parts.values() for each in parameters]
        return self

    @torch.no_grad()
    def __exit__(self, *error: object) -> None:
        before = iter(self._before)
        for part, parameters in self.parts.items():
            self.row[f"update_norm/{part}"] = _norm([each - next(before) for each in parameters])
        self._before = []


def _norm(tensors: list[Tensor]) -> float:
    return float(torch.nn.utils.get_total_norm(tensors)) if tensors else 0.0
