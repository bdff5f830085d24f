"""A model computes in evaluation mode and is left as it was found, whoever is training it.

Text is written and scored amid training too. In training mode dropout would draw from the global random stream and
batch normalization would count what is read.
"""

from __future__ import annotations

from types import TracebackType

from torch import nn


class EvaluationMode:
    """Inside, every module of a model is in evaluation mode; outside, each is in the mode that it was in before.

    To be entered as often as one likes, one time after the other: for each step of a text that is streamed, so that
    the model is never left in another mode by a stream that nobody reads to its end.

    Args:
        model: whose modules stay the same ones.
    """

    def __init__(self, model: nn.Module) -> None:
        self._modules = list(model.modules())
        self._in_training: list[nn.Module] = []

    def __enter__(self) -> None:
        self._in_training = [module for module in self._modules if module.training]
        for module in self._in_training:
            module.training = False

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for module in self._in_training:
            module.training = True
