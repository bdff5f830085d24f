"""Activations that are not kept for the backward but made again: less memory, more arithmetic, the same numbers.

| kind         | what is made again                        | source                                                 |
|--------------|-------------------------------------------|--------------------------------------------------------|
| none         | nothing                                   |                                                        |
| blocks       | all of every n-th block                   | Chen et al. 2016, arXiv:1604.06174: a third more time  |
| attention    | scores, softmax and the sum of values     | Korthikanti et al. 2022, arXiv:2205.05198, "selective" |
| feed_forward | all of each feed-forward, its wide inside | ibid.: 19 of 34 bytes · B · T · D, scores apart        |

What is worth it depends on the kernel: where attention is one fused kernel, it keeps no scores anyway, and `attention`
saves next to nothing; with dropout on the attention weights on a CPU, a soft cap or the reference kernel, it saves (H,
T, T) numbers a layer.

Outputs and gradients are those without it bit for bit, dropout included: torch's checkpoint restores the random stream
and autocast. What a forward leaves behind beside its output it must leave once: a part that does is a `Replayable`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from zoo.config import Config, setting
from zoo.errors import ConfigError
from zoo.nn.attention import Attention
from zoo.nn.padding import PaddingAware
from zoo.nn.residual import Branch
from zoo.nn.stack import Stack
from zoo.nn.step import Replayable, StepAware
from zoo.registry import Choice

M = TypeVar("M", bound=nn.Module)


@dataclass(frozen=True, kw_only=True)
class RecomputeConfig(Config, Choice, noun="recomputation"):
    """Which activations are made again in the backward."""

    def parts(self, model: nn.Module) -> Iterator[nn.Module]:
        """The modules whose inputs alone are kept; none of them is inside of another."""
        raise NotImplementedError

    def apply(self, model: nn.Module) -> None:
        """Makes the model keep less, in place; names and weights stay. Raises ConfigError where it would do nothing."""
        parts = list(self.parts(model))
        if not parts:
            raise ConfigError(f"{self.kind!r} has no effect: the model has no such part; use none", "kind")
        for part in parts:
            part.forward = Recomputed(part)  # a wrapper would rename the weights


@dataclass(frozen=True, kw_only=True)
class NoRecomputeConfig(RecomputeConfig, kind="none"):
    """Everything is kept."""

    def apply(self, model: nn.Module) -> None:
        """Nothing."""


@dataclass(frozen=True, kw_only=True)
class BlocksRecomputeConfig(RecomputeConfig, kind="blocks"):
    """Of every n-th block only what goes in is kept."""

    every: int = setting(1, "1: all blocks, 2: every other one, …; what shares its weights is one block", minimum=1)

    def parts(self, model: nn.Module) -> Iterator[nn.Module]:
        """The first block of each stack, and every n-th from there."""
        for stack in _modules(model, Stack):
            yield from stack.blocks[:: self.every]


@dataclass(frozen=True, kw_only=True)
class AttentionRecomputeConfig(RecomputeConfig, kind="attention"):
    """Of each attention, what lies between the projections is not kept."""

    def parts(self, model: nn.Module) -> Iterator[nn.Module]:
        """From queries, keys and values to what the heads found."""
        for attention in _modules(model, Attention):
            yield attention.heads


@dataclass(frozen=True, kw_only=True)
class FeedForwardRecomputeConfig(RecomputeConfig, kind="feed_forward"):
    """Of each feed-forward only what goes in is kept."""

    def parts(self, model: nn.Module) -> Iterator[nn.Module]:
        """All sublayers that are no attention."""
        for branch in _modules(model, Branch):
            if not isinstance(branch.sublayer, Attention):
                yield branch.sublayer


def _modules(model: nn.Module, kind: type[M]) -> Iterator[M]:
    return (module for module in model.modules() if isinstance(module, kind))


class Recomputed:
    """The forward of a module, which keeps its inputs and is run again when its backward comes.

    Args:
        module: whose forward it takes the place of.
    """

    def __init__(self, module: nn.Module) -> None:
        self._forward = module.forward
        self._parts = list(module.modules())

    def __call__(self, *arguments: Any) -> Any:
        """What the forward gives."""
        if not torch.is_grad_enabled():
            return self._forward(*arguments)
        return checkpoint(self._forward, *arguments, use_reentrant=False, context_fn=self._contexts)

    def _contexts(self) -> tuple[AbstractContextManager[Any], AbstractContextManager[Any]]:
        return nullcontext(), Replay(self._parts)


class Replay(AbstractContextManager["Replay"]):
    """Inside, a forward is run again as it was when this was made, and leaves nothing behind but its activations.

    Args:
        parts: the modules that take part in it.
    """

    def __init__(self, parts: list[nn.Module]) -> None:
        self._during: list[tuple[nn.Module, str, Any]] = []
        for part in parts:
            if isinstance(part, PaddingAware):
                self._during.append((part, "documents_BT", part.documents_BT))
            if isinstance(part, Replayable):
                self._during.append((part, "replaying", True))
            if isinstance(part, StepAware) and part.watching:
                self._during.append((part, "losses", []))
        self._before: list[Any] = []

    def __enter__(self) -> Replay:
        self._before = [getattr(part, name) for part, name, _ in self._during]
        for part, name, value in self._during:
            setattr(part, name, value)
        return self

    def __exit__(self, *error: object) -> None:
        for (part, name, _), value in zip(self._during, self._before, strict=True):
            setattr(part, name, value)
