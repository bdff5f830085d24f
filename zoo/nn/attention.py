"""The one attention: self or cross, multi-head or grouped-query, of every model in the zoo.

The order is: project, normalize queries and keys, rotate, cache; then the kernel scores, caps, biases and masks; then
what the heads found is gated and projected back. Each of these is a slot that is filled when the module is built. How
queries, keys and values come about is the `kind` of the attention (`projection.py`, one file a kind beside it).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from torch import Tensor, nn

from zoo.config import Config, setting
from zoo.errors import ConfigError
from zoo.nn.attend import KERNELS, Kernel, Prepared, Scoring
from zoo.nn.differential import DifferentialConfig, DifferentialHeads, PlainHeads
from zoo.nn.gate import GateConfig, NoGateConfig
from zoo.nn.init import WidthEntry
from zoo.nn.linear import Linear
from zoo.nn.projection import AttentionShape, Biases, Heads, MultiHeadProjections, Projections, SharedProjections
from zoo.nn.query_key_norm import QueryKeyNormConfig
from zoo.nn.scale import InverseSqrtScaleConfig, ScaleConfig
from zoo.nn.score import DotScore, DotScoreConfig, ScoreConfig
from zoo.nn.sinks import NoSinks, NoSinksConfig, SinksConfig
from zoo.registry import Choice, unknown_name


@dataclass(frozen=True, kw_only=True)
class AttentionConfig(Config, Choice, noun="attention"):
    """Which attention a layer has; the fields here are those of every kind."""

    output_bias: bool = setting(True, "bias of the output projection", zero_adds_nothing=True)
    scale: ScaleConfig = setting(InverseSqrtScaleConfig(), "factor on the scores")
    score: ScoreConfig = setting(DotScoreConfig(), "how a query and a key are compared")
    cap: float | None = setting(None, "soft cap of the scores, cap · tanh(scores / cap); null: none", above=0)
    sinks: SinksConfig = setting(NoSinksConfig(), "what the softmax has in its denominator beside the keys")
    query_key_norm: QueryKeyNormConfig | None = setting(None, "norm of queries and keys; null: none")
    gate: GateConfig = setting(NoGateConfig(), "what stands between what the heads found and the output projection")
    differential: DifferentialConfig | None = setting(
        None, "whether heads work in pairs, of which one is subtracted from the other; null: each by itself"
    )
    window: int | None = setting(
        None, "places away a query sees (causal: back, in a prefix both ways); null: all", minimum=0
    )
    kernel: str = setting("auto", f"the implementation; auto: the fastest that can: {', '.join(KERNELS)}")

    def validate(self) -> None:
        """Refuses a kernel that is unknown or cannot do what is asked, and parts that do not go together."""
        if self.kernel not in KERNELS:
            raise ConfigError(unknown_name("kernel", self.kernel, KERNELS), "kernel")
        self.check_kernel(self.features)
        if self.scale.kind == "learned" and self.score.kind == "additive":
            raise ConfigError(
                "'learned' multiplies the queries, inside the tanh of score=additive, whose vectors are trained "
                "factors already; choose another scale",
                "scale",
            )

    def check_kernel(self, features: Mapping[str, str]) -> None:
        """Raises ConfigError where the kernel lacks one of these features (name → the setting that asks for it)."""
        for feature, asked in features.items():
            if feature not in KERNELS[self.kernel].features:
                able = ", ".join(name for name, kernel in KERNELS.items() if feature in kernel.features)
                raise ConfigError(
                    f"kernel {self.kernel!r} cannot do {asked}; use one of: {able}",
                    "kernel",
                )

    @property
    def features(self) -> Mapping[str, str]:
        """What is asked of the kernel beyond the plain softmax: feature → the setting that asks for it."""
        cap = {} if self.cap is None else {"cap": f"cap={self.cap}"}
        return {**self.score.features, **self.sinks.features, **cap}

    def check(self, heads: Heads) -> None:
        """Raises ConfigError where it cannot have these heads."""
        if self.differential is not None:
            try:
                self.differential.check(heads)
            except ConfigError as error:
                raise error.under("differential") from None

    def check_memory(self, dim: int, memory_dim: int) -> None:
        """Raises ConfigError where a layer of width `dim` cannot attend to a memory of that width."""

    def width_entries(self, heads: Heads) -> Iterator[WidthEntry]:
        """The settings by which the width scales something besides the weights."""
        yield from (entry.under("scale") for entry in self.scale.width_entries(heads.head_dim))
        for field in ("query_key_norm", "differential"):
            part: QueryKeyNormConfig | DifferentialConfig | None = getattr(self, field)
            if part is not None:
                yield from (entry.under(field) for entry in part.width_entries())

    def build_projections(self, shape: AttentionShape) -> Projections:
        """The module (hidden, memory) → queries (B, H, T, K), keys (B, G, S, K), values (B, G, S, V)."""
        raise NotImplementedError

    def value_width(self, heads: Heads) -> int:
        """Width V of the values of one head, as they are projected."""
        return heads.head_dim

    def cached_numbers(self, heads: Heads) -> int:
        """How many numbers a cache holds of one place: keys and values of all heads that have their own."""
        return heads.num_kv_heads * (heads.head_dim + self.value_width(heads))

    def found_width(self, heads: Heads) -> int:
        """Width of what a kernel finds for one head: V, or that of both heads of a pair."""
        return self.value_width(heads) * (1 if self.differential is None else DifferentialHeads.widening)


@dataclass(frozen=True, kw_only=True)
class MultiHeadAttentionConfig(AttentionConfig, kind="multi_head"):
    """A matrix each for queries, keys and values; `num_kv_heads` shares keys and values among query heads."""

    query_bias: bool = setting(True, "bias of the query projection", zero_adds_nothing=True)
    key_bias: bool = setting(True, "bias of the key projection", zero_adds_nothing=True)
    value_bias: bool = setting(True, "bias of the value projection", zero_adds_nothing=True)
    shared_query_key: bool = setting(False, "whether keys are projected as queries are, by the same matrix (Reformer)")

    def check(self, heads: Heads) -> None:
        """Refuses a shared matrix for queries and keys that differ in number or bias."""
        super().check(heads)
        if self.shared_query_key and heads.num_kv_heads != heads.num_heads:
            raise ConfigError(
                f"keys have the matrix of the queries, so num_kv_heads={heads.num_kv_heads} must be "
                f"num_heads={heads.num_heads}",
                "shared_query_key",
            )
        if self.shared_query_key and self.key_bias != self.query_bias:
            raise ConfigError(
                f"keys have the bias of the queries, so key_bias={self.key_bias} must be query_bias={self.query_bias}",
                "shared_query_key",
            )

    def check_memory(self, dim: int, memory_dim: int) -> None:
        """Refuses a shared matrix for queries and a memory of two widths."""
        if self.shared_query_key and dim != memory_dim:
            raise ConfigError(
                f"one matrix cannot read queries of dim={dim} and a memory of dim={memory_dim}", "shared_query_key"
            )

    def build_projections(self, shape: AttentionShape) -> Projections:
        """The three matrices, or two."""
        biases = Biases(self.query_bias, self.key_bias, self.value_bias)
        return SharedProjections(biases, shape) if self.shared_query_key else MultiHeadProjections(biases, shape)


class LayerCache(Protocol):
    """Keys and values of earlier calls of one layer."""

    def extend(self, k_BGSK: Tensor, v_BGSK: Tensor) -> tuple[Tensor, Tensor]:
        """Stores these keys and values and returns all so far, oldest first."""


class MemoryCache(Protocol):
    """Keys and values of a memory, which do not change from call to call."""

    def recall(self, attention: Attention, memory_BSD: Tensor) -> tuple[Tensor, Tensor]:
        """What `attention.of_memory` gives, computed in the first call only."""


class AttentionContext(NamedTuple):
    """What the stack prepares once a forward and every layer of the same sort shares.

    Attributes:
        kernel: what computes.
        prepared: mask and bias in the kernel's form.
        rotate: rotates queries and keys by their positions (rotary schemes), or hands them back.
        recall: keys and values of a memory: those that are cached, or made anew.
    """

    kernel: Kernel
    prepared: Prepared
    rotate: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
    recall: Callable[[Attention, Tensor], tuple[Tensor, Tensor]] = lambda attention, memory: attention.of_memory(memory)


def no_rotation(q_BHTK: Tensor, k_BGSK: Tensor) -> tuple[Tensor, Tensor]:
    """Queries and keys as they are."""
    return q_BHTK, k_BGSK


class Scores(nn.Module):
    """What a kernel is told about the scores of one forward: fixed numbers, and parameters as they are now.

    Args:
        config: scale, cap, score and sinks.
        heads: how many and how wide.
        dropout: probability of dropping an attention weight in training.
    """

    def __init__(self, config: AttentionConfig, heads: Heads, dropout: float) -> None:
        super().__init__()
        self.in_training = Scoring(config.scale.factor(heads.head_dim), config.cap, dropout)
        self.in_evaluation = self.in_training._replace(dropout=0.0)
        self.score = config.score.build(heads)
        self.sinks = config.sinks.build(heads.num_heads)
        self.is_fixed = isinstance(self.score, DotScore) and isinstance(self.sinks, NoSinks)

    def forward(self, q_BHTK: Tensor) -> Scoring:
        """For these queries."""
        fixed = self.in_training if self.training else self.in_evaluation
        return fixed if self.is_fixed else fixed._replace(sinks=self.sinks(q_BHTK), additive=self.score())


class Attention(nn.Module):
    """Attention of a hidden state over itself, or over a memory.

    Args:
        config: which slots are filled with what.
        shape: the numbers of the layer.
        dropout: probability of dropping an attention weight.
    """

    def __init__(self, config: AttentionConfig, shape: AttentionShape, dropout: float = 0.0) -> None:
        super().__init__()
        heads = shape.heads
        self.project = config.build_projections(shape)
        norm = config.query_key_norm
        self.query_norm, self.key_norm = (
            nn.Identity() if norm is None else norm.build(count, heads.head_dim)
            for count in (heads.num_heads, heads.num_kv_heads)
        )
        self.scale = config.scale.build(heads.num_heads)
        self.scoring = Scores(config, heads, dropout)
        found_width, pairs = config.found_width(heads), config.differential
        self.heads: PlainHeads | DifferentialHeads = PlainHeads() if pairs is None else pairs.build(shape, found_width)
        num_found = heads.num_heads // self.heads.widening
        self.products = heads.num_heads * (heads.head_dim + found_width)
        """Multiplications for one query and one key, over all heads: scores and weighted values."""
        self.gate = config.gate.build(shape.dim, num_found, found_width, shape.site("attention_gate"))
        self.output = Linear(
            num_found * found_width, shape.dim, config.output_bias, site=shape.site("attention_output")
        )

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
            context: kernel, mask, bias and rotation, prepared by the stack.
            memory_BSD: where keys and values come from in cross-attention.
            cache: keys and values of earlier positions.
        """
        if memory_BSD is None:
            q_BHTK, k_BGSK, v_BGSV = self.project(hidden_BTD, hidden_BTD)
            q_BHTK, k_BGSK = context.rotate(self.query_norm(q_BHTK), self.key_norm(k_BGSK))
            k_BGSK, v_BGSV = (k_BGSK, v_BGSV) if cache is None else cache.extend(k_BGSK, v_BGSV)
        else:
            q_BHTK = self.query_norm(self.project.queries(hidden_BTD))
            k_BGSK, v_BGSV = context.recall(self, memory_BSD)
        scoring = self.scoring(q_BHTK)
        out_BHTV = self.heads(context.kernel, self.scale(q_BHTK), k_BGSK, v_BGSV, context.prepared, scoring)
        return self.output(self.gate(out_BHTV, hidden_BTD).transpose(1, 2).flatten(2))

    def of_memory(self, memory_BSD: Tensor) -> tuple[Tensor, Tensor]:
        """Keys (B, G, S, K) and values (B, G, S, V) of a memory; positions say nothing of how far away it is."""
        k_BGSK, v_BGSV = self.project.keys_values(memory_BSD)
        return self.key_norm(k_BGSK), v_BGSV
