"""transformers as the oracle, lifted to float64.

As shipped it computes norms, rotation tables, softmax and losses in float32 whatever the dtype of the weights, and is
good to about 1e-5 only. Built and run under `lifted()`, every `.float()` and `torch.float32` in it means float64. Only
T5's bucket arithmetic is left alone: its float32 rounding decides the borders of buckets, in the original too.
"""

import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from transformers.models.t5.modeling_t5 import T5Attention


class Lift(TorchFunctionMode):
    """Inside, float32 means float64, unless `paused`."""

    paused = False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self.paused:
            return func(*args, **kwargs)
        if func is Tensor.float:
            return args[0].double()
        args = tuple(_lift(value) for value in args)
        return func(*args, **{name: _lift(value) for name, value in kwargs.items()})


def _lift(value: Any) -> Any:
    return torch.float64 if value is torch.float32 else value


@contextmanager
def lifted() -> Iterator[None]:
    """Build and run transformers in here: parameters, tables and sums are float64."""
    mode, bucket, dtype = Lift(), T5Attention._relative_position_bucket, torch.get_default_dtype()

    def unlifted(*args: Any, **kwargs: Any) -> Tensor:
        mode.paused = True
        try:
            return bucket(*args, **kwargs)
        finally:
            mode.paused = False

    torch.set_default_dtype(torch.float64)
    try:
        with mode, patch.object(T5Attention, "_relative_position_bucket", staticmethod(unlifted)):
            yield
    finally:
        torch.set_default_dtype(dtype)


def oracle_model(model_class: Callable[[Any], nn.Module], config: Any, *, seed: int = 0) -> nn.Module:
    """A lifted model in evaluation mode whose parameters are all random, biases and norms too.

    Args:
        model_class: a class of transformers.
        config: its config.
        seed: of the parameters.
    """
    with lifted(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = model_class(config).eval()
    randomize(model, seed)
    return model


@torch.no_grad()
def randomize(model: nn.Module, seed: int) -> None:
    """Draws every parameter: matrices so that signals keep their size, biases and norm weights far from 0 and 1."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        noise = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
        if parameter.ndim == 1:
            was_norm = bool((parameter == 1).all())
            parameter.copy_(1 + 0.4 * noise if was_norm else 0.4 * noise)
        else:
            parameter.copy_(noise * parameter.shape[-1] ** -0.5 * 1.3)


def gradients(model: nn.Module) -> dict[str, Tensor]:
    """Gradients by parameter name, shared parameters under each of their names; zeros where there is none."""
    named = model.named_parameters(remove_duplicate=False)
    return {n: torch.zeros_like(p) if p.grad is None else p.grad.clone() for n, p in named}


def relative(one: Tensor, other: Tensor, at_least: float = 0.0) -> float:
    """‖one − other‖ over the larger of ‖other‖ and `at_least`; infinite where that is no number."""
    ratio = float((one - other).norm()) / max(float(other.norm()), at_least)
    return ratio if math.isfinite(ratio) else math.inf


def gradient_difference(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> tuple[float, str]:
    """The largest relative difference of any tensor, and its name.

    Each ‖Δ‖ is judged by the larger of ‖g‖ and the mean norm of all gradients: some gradients are exactly zero (key
    biases without rotation), and their own norm is rounding.
    """
    assert set(ours) == set(theirs)
    if not theirs:
        return 0.0, ""
    mean = sum(float(gradient.norm()) for gradient in theirs.values()) / len(theirs)
    return max((relative(ours[name], theirs[name], mean), name) for name in theirs)
