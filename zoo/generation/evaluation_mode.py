"""A model computes in evaluation mode and is left as it was found, whoever is training it.

Text is written and scored amid training too. In training mode dropout would draw from the global random stream and
batch normalization would count what is read.

Threads that write from one model share one stretch of evaluation: the first to come sets the modes, the last to leave
puts them back. A training step in another thread beside them is not supported: it would run without dropout, so take
turns with it.
"""

from __future__ import annotations

from threading import Lock
from types import TracebackType
from weakref import WeakKeyDictionary

from torch import nn


class _Stretch:
    """What all that is inside of one model's evaluation shares: how many there are, and what goes back to training."""

    def __init__(self) -> None:
        self.lock, self.depth = Lock(), 0
        self.in_training: list[nn.Module] = []


_STRETCHES: WeakKeyDictionary[nn.Module, _Stretch] = WeakKeyDictionary()
_STRETCHES_LOCK = Lock()


class EvaluationMode:
    """Inside, every module of a model is in evaluation mode; outside, each is in the mode that it was in before.

    To be entered as often as one likes, by several threads at a time too: for each step of a text that is streamed, so
    that the model is never left in another mode by a stream that nobody reads to its end. Where several are inside, the
    modes come back when the last one leaves.

    Args:
        model: whose modules stay the same ones.
    """

    def __init__(self, model: nn.Module) -> None:
        self._modules = list(model.modules())
        with _STRETCHES_LOCK:
            self._stretch = _STRETCHES.setdefault(model, _Stretch())

    def __enter__(self) -> None:
        stretch = self._stretch
        with stretch.lock:
            in_training = [module for module in self._modules if module.training]
            for module in in_training:
                module.training = False
            stretch.in_training += in_training
            stretch.depth += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        stretch = self._stretch
        with stretch.lock:
            stretch.depth -= 1
            if not stretch.depth:
                for module in stretch.in_training:
                    module.training = True
                stretch.in_training = []
