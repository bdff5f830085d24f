"""The feed-forward sublayer: plain or gated, with one of the activations.

Plain: Vaswani et al. 2017, arXiv:1706.03762, equation 2. Gated (SwiGLU, GEGLU): Shazeer 2020, arXiv:2002.05202.
GELU: Hendrycks & Gimpel 2016, arXiv:1606.08415; `gelu_tanh` is the approximation that GPT-2 and T5 v1.1 use.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional

from zoo.config import Config, setting
from zoo.errors import ConfigError
from zoo.nn.linear import Depth, Linear, Role, Site
from zoo.registry import Choice, Registry, unknown_name

Activation = Callable[[Tensor], Tensor]

ACTIVATIONS: Registry[Activation] = Registry(
    "activation",
    {
        "relu": functional.relu,
        "gelu": functional.gelu,
        "gelu_tanh": functools.partial(functional.gelu, approximate="tanh"),
        "silu": functional.silu,
        "tanh": functional.tanh,
    },
)
"""Activations by name; each maps a tensor elementwise."""


class FeedForwardShape(NamedTuple):
    """The numbers of the layer around a feed-forward.

    Attributes:
        dim: width D of the hidden state.
        inner_dim: inner width F.
        dropout: probability of dropping an inner activation (T5).
        depth: of the model, for depth-scaled initializations.
    """

    dim: int
    inner_dim: int
    dropout: float = 0.0
    depth: Depth = Depth()

    def site(self, role: Role) -> Site:
        """Where a weight of this feed-forward stands."""
        return Site(role, self.depth, dim=self.dim)


@dataclass(frozen=True, kw_only=True)
class FeedForwardConfig(Config, Choice, noun="feed_forward"):
    """Which feed-forward every block has."""

    activation: str = setting("gelu", f"the nonlinearity: {', '.join(ACTIVATIONS)}")
    bias: bool = setting(True, "whether the projections have biases")

    def validate(self) -> None:
        """Refuses an unknown activation."""
        if self.activation not in ACTIVATIONS:
            raise ConfigError(unknown_name("activation", self.activation, ACTIVATIONS), "activation")

    def build(self, shape: FeedForwardShape) -> nn.Module | None:
        """The sublayer (…, D) → (…, D), its weights unset; None: the block has no such sublayer."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class PlainFeedForwardConfig(FeedForwardConfig, kind="plain"):
    """output(activation(input(x))): 2 · dim · inner weights."""

    def build(self, shape: FeedForwardShape) -> nn.Module:
        """The plain sublayer."""
        return FeedForward(self, shape)


@dataclass(frozen=True, kw_only=True)
class GatedFeedForwardConfig(FeedForwardConfig, kind="gated"):
    """output(activation(gate(x)) · input(x)): 3 · dim · inner weights. SwiGLU: `silu`, GEGLU: `gelu` or `gelu_tanh`."""

    activation: str = setting("silu", f"the nonlinearity of the gate: {', '.join(ACTIVATIONS)}")

    def build(self, shape: FeedForwardShape) -> nn.Module:
        """The gated sublayer."""
        return GatedFeedForward(self, shape)


class FeedForward(nn.Module):
    """output(dropout(activation(input(x)))).

    Args:
        config: activation and bias.
        shape: widths and dropout.
    """

    def __init__(self, config: FeedForwardConfig, shape: FeedForwardShape) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[config.activation]
        self.input = Linear(shape.dim, shape.inner_dim, config.bias, site=shape.site("feed_forward_input"))
        self.dropout = nn.Dropout(shape.dropout) if shape.dropout else nn.Identity()
        self.output = Linear(shape.inner_dim, shape.dim, config.bias, site=shape.site("feed_forward_output"))

    def forward(self, hidden_BTD: Tensor) -> Tensor:
        """(B, T, D) → (B, T, D), each position by itself."""
        return self.output(self.dropout(self.activation(self.input(hidden_BTD))))


class GatedFeedForward(FeedForward):
    """output(dropout(activation(gate(x)) · input(x))); arguments as in FeedForward."""

    def __init__(self, config: FeedForwardConfig, shape: FeedForwardShape) -> None:
        super().__init__(config, shape)
        self.gate = Linear(shape.dim, shape.inner_dim, config.bias, site=shape.site("feed_forward_gate"))

    def forward(self, hidden_BTD: Tensor) -> Tensor:
        """(B, T, D) → (B, T, D), each position by itself."""
        return self.output(self.dropout(self.activation(self.gate(hidden_BTD)) * self.input(hidden_BTD)))
