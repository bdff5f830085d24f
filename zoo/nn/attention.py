"""The one attention: self or cross, multi-head or grouped-query, of every model in the zoo.

Multi-head: Vaswani et al. 2017, arXiv:1706.03762, section 3.2. Grouped-query: Ainslie et al. 2023, arXiv:2305.13245.
The order is: project, normalize queries and keys, rotate, cache; then the kernel scores, caps, biases and masks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from torch import Tensor, nn

from zoo.config import Config, setting
from zoo.errors import ConfigError
from zoo.nn.attend import KERNELS, Prepared, Scoring
from zoo.nn.linear import Linear, Role, Site
from zoo.nn.norm import NormConfig
from zoo.registry import unknown_name


@dataclass(frozen=True, kw_only=True)
class AttentionConfig(Config):
    """What attention does, the same in every layer."""

    query_bias: bool = setting(True, "bias of the query projection")
    key_bias: bool = setting(True, "bias of the key projection")
    value_bias: bool = setting(True, "bias of the value projection")
    output_bias: bool = setting(True, "bias of the output projection")
    scale: float | None = setting(None, "factor on the scores; null: 1/√head_dim (T5: 1)", above=0)
    cap: float | None = setting(None, "soft cap of the scores, cap · tanh(scores / cap); null: none", above=0)
    query_key_norm: NormConfig | None = setting(None, "norm over each head of queries and keys; null: none")
    window: int | None = setting(None, "how many places away a query sees (causal: back only); null: all", minimum=0)
    kernel: str = setting("sdpa", f"the implementation: {', '.join(KERNELS)}")

    def validate(self) -> None:
        """Refuses a kernel that is unknown or cannot do what is asked."""
        if self.kernel not in KERNELS:
            raise ConfigError(unknown_name("kernel", self.kernel, KERNELS), "kernel")
        if self.cap is not None and not KERNELS[self.kernel].caps:
            able = ", ".join(name for name, kernel in KERNELS.items() if kernel.caps)
            raise ConfigError(
                f"kernel {self.kernel!r} cannot cap scores (cap={self.cap}); use one of: {able}", "kernel"
            )


class Heads(NamedTuple):
    """How the width of the model is shared out over heads: H query heads, G key and value heads, K wide each."""

    num_heads: int
    num_kv_heads: int
    head_dim: int


class LayerCache(Protocol):
    """Keys and values of earlier calls of one layer."""

    def extend(self, k_BGSK: Tensor, v_BGSK: Tensor) -> tuple[Tensor, Tensor]:
        """Stores these keys and values and returns all so far, oldest first."""


class AttentionContext(NamedTuple):
    """What the stack prepares once a forward and every layer of it shares.

    Attributes:
        prepared: mask and bias in the kernel's form.
        rotate: rotates queries and keys by their positions (rotary schemes), or hands them back.
    """

    prepared: Prepared
    rotate: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def no_rotation(q_BHTK: Tensor, k_BGSK: Tensor) -> tuple[Tensor, Tensor]:
    """Queries and keys as they are."""
    return q_BHTK, k_BGSK


class Attention(nn.Module):
    """Attention of a hidden state over itself, or over a memory.

    Args:
        config: biases, scale, cap, norm, kernel.
        dim: width D of the hidden state.
        heads: how D is shared out; grouped heads share keys and values.
        memory_dim: width of the memory in cross-attention; None: dim.
        dropout: probability of dropping an attention weight.
        num_branches: residual branches of the stack, for depth-scaled initializations.
    """

    def __init__(
        self,
        config: AttentionConfig,
        dim: int,
        heads: Heads,
        memory_dim: int | None = None,
        dropout: float = 0.0,
        num_branches: int = 0,
    ) -> None:
        super().__init__()
        memory_dim = memory_dim or dim
        query_width, key_width = heads.num_heads * heads.head_dim, heads.num_kv_heads * heads.head_dim

        def site(role: Role) -> Site:
            return Site(role, num_branches, heads.head_dim)

        self.query = Linear(dim, query_width, config.query_bias, site=site("query"))
        self.key = Linear(memory_dim, key_width, config.key_bias, site=site("key"))
        self.value = Linear(memory_dim, key_width, config.value_bias, site=site("value"))
        self.output = Linear(query_width, dim, config.output_bias, site=site("attention_output"))
        norm = config.query_key_norm
        self.query_norm = norm.build(heads.head_dim) if norm else nn.Identity()
        self.key_norm = norm.build(heads.head_dim) if norm else nn.Identity()
        self.head_dim = heads.head_dim
        self.kernel = KERNELS[config.kernel]
        self.scoring = Scoring(config.scale or heads.head_dim**-0.5, config.cap, dropout)
        self.scoring_in_evaluation = self.scoring._replace(dropout=0.0)

    def forward(
        self,
        hidden_BTD: Tensor,
        context: AttentionContext,
        memory_BSD: Tensor | None = None,
        cache: LayerCache | None = None,
    ) -> Tensor:
        """(B, T, D) → (B, T, D): each position gathers values from the positions it may see.

        Args:
            hidden_BTD: where the queries come from, and without a memory the keys and values too.
            context: mask, bias and rotation, prepared by the stack.
            memory_BSD: where keys and values come from in cross-attention.
            cache: keys and values of earlier positions.
        """
        memory_BSD = hidden_BTD if memory_BSD is None else memory_BSD
        q_BHTK = self.query_norm(self._split(self.query(hidden_BTD)))
        k_BGSK = self.key_norm(self._split(self.key(memory_BSD)))
        v_BGSK = self._split(self.value(memory_BSD))
        q_BHTK, k_BGSK = context.rotate(q_BHTK, k_BGSK)
        k_BGSK, v_BGSK = (k_BGSK, v_BGSK) if cache is None else cache.extend(k_BGSK, v_BGSK)
        scoring = self.scoring if self.training else self.scoring_in_evaluation
        out_BHTK = self.kernel.attend(q_BHTK, k_BGSK, v_BGSK, context.prepared, scoring)
        return self.output(out_BHTK.transpose(1, 2).flatten(2))

    def _split(self, projected_BTX: Tensor) -> Tensor:
        """(B, T, heads · K) → (B, heads, T, K)."""
        return projected_BTX.unflatten(-1, (-1, self.head_dim)).transpose(1, 2)
