"""The feed-forward sublayer: plain or gated, with one of the activations, or none at all.

Plain: Vaswani et al. 2017, arXiv:1706.03762, equation 2. Gated (SwiGLU, GEGLU, ReGLU): Shazeer 2020, arXiv:2002.05202.
GELU: Hendrycks & Gimpel 2016, arXiv:1606.08415; `gelu_tanh` is the approximation that GPT-2 and T5 v1.1 use, and
`gelu_bloom` BLOOM's (arXiv:2211.05100), whose released code writes √(2/π) with eight digits. Squared ReLU: So et al.
2021, arXiv:2109.08668. Experts: `mixture.py`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from zoo.config import Config, setting
from zoo.errors import ConfigError
from zoo.nn.linear import Depth, Linear, Role, Site
from zoo.registry import Choice, Registry, unknown_name

Activation = Callable[[Tensor], Tensor]


def gelu_bloom(x: Tensor) -> Tensor:
    """BLOOM's tanh approximation of GELU, elementwise: its √(2/π) is 0.79788456."""
    return 0.5 * x * (1 + torch.tanh(0.79788456 * x * (1 + 0.044715 * x * x)))


def relu_squared(x: Tensor) -> Tensor:
    """max(x, 0)², elementwise."""
    return functional.relu(x).square()


ACTIVATIONS: Registry[Activation] = Registry(
    "activation",
    {
        "relu": functional.relu,
        "relu_squared": relu_squared,
        "gelu": functional.gelu,
        "gelu_tanh": functools.partial(functional.gelu, approximate="tanh"),
        "gelu_bloom": gelu_bloom,
        "silu": functional.silu,
        "tanh": functional.tanh,
    },
)
"""Activations by name; each maps a tensor elementwise."""


WIDTH_MULTIPLE = 8
"""Inner widths that are computed are multiples of this, as the products of most devices like them."""

WidthRule = Literal["as_given", "equal_parameters"]
"""Whether a kind of feed-forward takes the layer's `feed_forward_dim` for its own inner width, or for that of a plain
feed-forward whose number of weights it then has."""


def inner_dim_by(rule: WidthRule, width: int, num_matrices: int) -> int:
    """The inner width F of a feed-forward.

    Args:
        rule: how `width` is meant.
        width: `feed_forward_dim` of the layer.
        num_matrices: how many matrices of D · F weights the feed-forward has; a plain one has 2.

    Returns:
        `width`, or the width for equal parameters: the nearest multiple of WIDTH_MULTIPLE, at least one of it.
    """
    if rule == "as_given":
        return width
    return WIDTH_MULTIPLE * max(1, round(2 * width / num_matrices / WIDTH_MULTIPLE))


class FeedForwardShape(NamedTuple):
    """The numbers of the layer around a feed-forward.

    Attributes:
        dim: width D of the hidden state.
        width: what the layer says of the inner width; the kind makes its own F of it.
        dropout: probability of dropping an inner activation (T5).
        depth: of the model, for depth-scaled initializations.
    """

    dim: int
    width: int
    dropout: float = 0.0
    depth: Depth = Depth()

    def site(self, role: Role) -> Site:
        """Where a weight of this feed-forward stands."""
        return Site(role, self.depth, dim=self.dim)


@dataclass(frozen=True, kw_only=True)
class FeedForwardConfig(Config, Choice, noun="feed_forward"):
    """Which feed-forward a layer has."""

    has_width: ClassVar[bool] = True
    """Whether there is anything that `feed_forward_dim` and its dropout could be about."""
    is_absent: ClassVar[bool] = False
    """Whether the layer has no feed-forward."""

    def build(self, shape: FeedForwardShape) -> nn.Module | None:
        """The sublayer (…, D) → (…, D), its weights unset; None: the layer has no such sublayer."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class NoFeedForwardConfig(FeedForwardConfig, kind="none"):
    """The layer has no feed-forward: it only attends."""

    has_width: ClassVar[bool] = False
    is_absent: ClassVar[bool] = True

    def build(self, shape: FeedForwardShape) -> None:
        """Nothing."""


@dataclass(frozen=True, kw_only=True)
class ActivatedFeedForwardConfig(FeedForwardConfig):
    """What plain and gated feed-forwards have in common: a nonlinearity between projections."""

    activation: str = setting("gelu", f"the nonlinearity: {', '.join(ACTIVATIONS)}")
    bias: bool = setting(True, "whether the projections have biases", zero_adds_nothing=True)

    def validate(self) -> None:
        """Refuses an unknown activation."""
        if self.activation not in ACTIVATIONS:
            raise ConfigError(unknown_name("activation", self.activation, ACTIVATIONS), "activation")

    def inner_dim(self, width: int) -> int:
        """The inner width F of a layer whose `feed_forward_dim` is `width`."""
        return width


@dataclass(frozen=True, kw_only=True)
class PlainFeedForwardConfig(ActivatedFeedForwardConfig, kind="plain"):
    """output(activation(input(x))): 2 · dim · inner weights."""

    def build(self, shape: FeedForwardShape) -> FeedForward:
        """The plain sublayer."""
        return FeedForward(self, shape)


@dataclass(frozen=True, kw_only=True)
class GatedFeedForwardConfig(ActivatedFeedForwardConfig, kind="gated"):
    """output(activation(gate(x)) · input(x)): 3 · dim · inner weights. SwiGLU: `silu`, GEGLU: `gelu`, ReGLU: `relu`."""

    activation: str = setting("silu", f"the nonlinearity of the gate: {', '.join(ACTIVATIONS)}")
    width: WidthRule = setting(
        "as_given",
        "as_given: feed_forward_dim is the inner width; equal_parameters: it is that of a plain feed-forward with as "
        f"many weights, so that this one is 2/3 as wide, to the nearest multiple of {WIDTH_MULTIPLE}",
    )

    def inner_dim(self, width: int) -> int:
        """The inner width F: as given, or 2/3 of it."""
        return inner_dim_by(self.width, width, 3)

    def build(self, shape: FeedForwardShape) -> FeedForward:
        """The gated sublayer."""
        return GatedFeedForward(self, shape)


class FeedForward(nn.Module):
    """output(dropout(activation(input(x)))).

    Args:
        config: activation, bias, rule of the width.
        shape: widths and dropout.
    """

    def __init__(self, config: ActivatedFeedForwardConfig, shape: FeedForwardShape) -> None:
        super().__init__()
        inner_dim = config.inner_dim(shape.width)
        self.name = f"{config.kind} {config.activation}"
        self.activation = ACTIVATIONS[config.activation]
        self.input = Linear(shape.dim, inner_dim, config.bias, site=shape.site("feed_forward_input"))
        self.dropout = nn.Dropout(shape.dropout) if shape.dropout else nn.Identity()
        self.output = Linear(inner_dim, shape.dim, config.bias, site=shape.site("feed_forward_output"))

    def forward(self, hidden_BTD: Tensor) -> Tensor:
        """(B, T, D) → (B, T, D), each position by itself."""
        return self.output(self.dropout(self.activation(self.input(hidden_BTD))))

    def extra_repr(self) -> str:
        """In one line: kind, activation and widths."""
        return f"{self.name}, {self.input.in_features} → {self.input.out_features} → {self.output.out_features}"


class GatedFeedForward(FeedForward):
    """output(dropout(activation(gate(x)) · input(x))); arguments as in FeedForward."""

    def __init__(self, config: ActivatedFeedForwardConfig, shape: FeedForwardShape) -> None:
        super().__init__(config, shape)
        self.gate = Linear(shape.dim, self.input.out_features, config.bias, site=shape.site("feed_forward_gate"))

    def forward(self, hidden_BTD: Tensor) -> Tensor:
        """(B, T, D) → (B, T, D), each position by itself."""
        return self.output(self.dropout(self.activation(self.gate(hidden_BTD)) * self.input(hidden_BTD)))
