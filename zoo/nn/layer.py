"""What one layer of a stack is, and how it is built.

A stack has one `LayerConfig` for all its layers, and `layers` in its config changes parts of it for some of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from torch import nn

from zoo.config import Config, setting
from zoo.errors import ConfigError
from zoo.nn import latent_attention, mixture, parallel_block  # noqa: F401  (registers their kinds)
from zoo.nn.attend import WIDEST_HEAD
from zoo.nn.attention import Attention, AttentionConfig, MultiHeadAttentionConfig
from zoo.nn.block import BlockConfig, Placements, SequentialBlockConfig, Sublayers
from zoo.nn.feed_forward import FeedForwardConfig, FeedForwardShape, PlainFeedForwardConfig
from zoo.nn.init import WidthEntry
from zoo.nn.linear import Depth
from zoo.nn.norm import LayerNormConfig, NormConfig
from zoo.nn.positions import PositionsConfig, PositionsShape
from zoo.nn.positions.learned import LearnedConfig
from zoo.nn.projection import AttentionShape, Heads
from zoo.nn.residual import PLACEMENTS, Wrapping
from zoo.nn.residual_sum import PlainResidualConfig, ResidualConfig
from zoo.registry import unknown_name


@dataclass(frozen=True, kw_only=True)
class DropoutConfig(Config):
    """Probability of dropping an element, at each place by itself; 0: nothing is dropped."""

    embedding: float = setting(0.0, "of the embeddings", minimum=0, below=1)
    attention: float = setting(0.0, "of the attention weights", minimum=0, below=1)
    residual: float = setting(0.0, "of each residual branch before it is added", minimum=0, below=1)
    feed_forward: float = setting(0.0, "of the inner activations of the feed-forward (T5)", minimum=0, below=1)
    final: float = setting(0.0, "of the output of the stack (T5)", minimum=0, below=1)
    depth: float = setting(
        0.0,
        "of a whole branch of a row in the last layer; layer l of L has l/L of it (stochastic depth)",
        minimum=0,
        below=1,
    )

    def of_branch(self, layer: int, num_layers: int) -> float:
        """Probability of dropping a whole branch in a layer, numbered from 0."""
        return self.depth * (layer + 1) / max(num_layers, 1)


class Unshareable(NamedTuple):
    """A setting that layers cannot have that share their weights.

    Attributes:
        key: its dotted name. is_what: its value, and what that is. remedy: what to set.
    """

    key: str
    is_what: str
    remedy: str


@dataclass(frozen=True, kw_only=True)
class LayerConfig(Config):
    """The shape of a layer and the parts it is made of."""

    dim: int = setting(128, "width of the hidden state", minimum=1)
    num_heads: int = setting(4, "query heads", minimum=1)
    num_kv_heads: int | None = setting(
        None, "key and value heads, a divisor of num_heads (1: multi-query); null: num_heads", minimum=1
    )
    head_dim: int | None = setting(None, "width of one head; null: dim / num_heads", minimum=1)
    feed_forward_dim: int | None = setting(None, "inner width of the feed-forward; null: 4 · dim", minimum=1)
    max_length: int = setting(128, "most positions of one row", minimum=1)
    block: BlockConfig = setting(SequentialBlockConfig(), "how a layer puts its sublayers together")
    attention: AttentionConfig = setting(MultiHeadAttentionConfig(), "attention")
    feed_forward: FeedForwardConfig = setting(PlainFeedForwardConfig(), "feed-forward")
    norm: NormConfig = setting(LayerNormConfig(), "the norm, at every place that has one")
    placement: str = setting("pre", f"where the norms stand: {', '.join(PLACEMENTS)}")
    attention_placement: str | None = setting(
        None, "where those of self-attention stand; null: as `placement` says (ModernBERT's first layer: none)"
    )
    residual: ResidualConfig = setting(PlainResidualConfig(), "how a branch is added to the residual stream")
    positions: PositionsConfig = setting(LearnedConfig(), "positional scheme")
    dropout: DropoutConfig = setting(DropoutConfig(), "dropout, place by place", training_only=True)

    def validate(self) -> None:
        """Refuses an unknown placement, heads that do not divide what they share, and a kernel that cannot drop."""
        for field in ("placement", "attention_placement"):
            placement = getattr(self, field)
            if placement is not None and placement not in PLACEMENTS:
                raise ConfigError(unknown_name("norm placement", placement, PLACEMENTS), field)
        if self.residual.needs_outer_norm:
            self._check_outer_norm()
        if self.attention_placement == self.placement:
            raise ConfigError(f"{self.placement!r} is what placement says already; leave it out", "attention_placement")
        self.block.check(self.placements)
        if self.head_dim is None and self.dim % self.num_heads:
            raise ConfigError(
                f"{self.num_heads} heads do not divide dim={self.dim}; choose a divisor or set head_dim", "num_heads"
            )
        if self.num_heads % self.attention_heads.num_kv_heads:
            legal = ", ".join(str(count) for count in range(1, self.num_heads + 1) if self.num_heads % count == 0)
            raise ConfigError(
                f"{self.num_kv_heads} does not divide num_heads={self.num_heads} (legal: {legal})", "num_kv_heads"
            )
        try:
            self.attention.check_kernel(self.kernel_features)
            self.attention.check(self.attention_heads)
        except ConfigError as error:
            raise error.under("attention") from None

    def _check_outer_norm(self) -> None:
        """Refuses placements without a norm after the sum, and a norm that is none."""
        names = {"placement": self.placement, "attention_placement": self.attention_placement}
        bare = [f"{field}={name}" for field, name in names.items() if name and not PLACEMENTS[name].outer]
        bare += ["norm=none"] if self.norm.kind == "none" else []
        if bare:
            raise ConfigError(
                f"{self.residual.kind!r} makes the stream grow from branch to branch where no norm follows the sum, "
                f"as with {' and '.join(bare)}; set placement=post and a norm",
                "residual",
            )

    def width_entries(self) -> Iterator[WidthEntry]:
        """The settings of a layer by which the width scales something besides the weights."""
        yield from (entry.under("attention") for entry in self.attention.width_entries(self.attention_heads))
        yield from (entry.under("norm") for entry in self.norm.width_entries())

    def unshareable(self) -> Iterator[Unshareable]:
        """The settings of a layer that layers cannot have that share their weights."""
        if self.dropout.depth:
            is_what = f"{self.dropout.depth} is that of the last layer and grows from layer to layer"
            yield Unshareable("dropout.depth", is_what, "use 0")
        if self.norm.mixes_rows and any(map(any, self.placements)):
            is_what = f"{self.norm.kind!r} evaluates with the running mean and variance of one layer"
            yield Unshareable("norm", is_what, "use a norm that keeps none (layer_norm, rms_norm)")
        if self.attention.differential is not None and self.attention.differential.lambda_init is None:
            is_what = "null starts λ higher from layer to layer"
            yield Unshareable("attention.differential.lambda_init", is_what, "give a number")

    @property
    def attention_heads(self) -> Heads:
        """Query heads, key and value heads, and the width of one."""
        return Heads(self.num_heads, self.num_kv_heads or self.num_heads, self.head_dim or self.dim // self.num_heads)

    @property
    def kernel_features(self) -> dict[str, str]:
        """What is asked of the kernel beyond the plain softmax: feature → the setting that asks for it."""
        dropout = {"dropout": f"dropout={self.dropout.attention}"} if self.dropout.attention else {}
        heads = self.attention_heads
        widest = max(heads.head_dim, self.attention.found_width(heads))
        wide = {"wide_heads": f"heads of {widest}"} if widest > WIDEST_HEAD else {}
        return {**self.attention.features, **self.positions.features, **dropout, **wide}

    @property
    def inner_dim(self) -> int:
        """What the layer says of the inner width of its feed-forward."""
        return self.feed_forward_dim or 4 * self.dim

    @property
    def placements(self) -> Placements:
        """Where the norms stand."""
        return Placements(PLACEMENTS[self.attention_placement or self.placement], PLACEMENTS[self.placement])

    def positions_shape(self, causal: bool, embedding_dim: int | None = None) -> PositionsShape:
        """The numbers that a positional scheme may need.

        Args:
            causal: whether queries see only earlier keys.
            embedding_dim: width of the embeddings that the scheme adds to; None: dim.
        """
        return PositionsShape(
            self.dim, self.num_heads, self.attention_heads.head_dim, self.max_length, causal, embedding_dim
        )


class Place(NamedTuple):
    """Where a layer stands.

    Attributes:
        depth: of the model.
        layer: number of the layer in its stack, from 0.
        memory_dim: width of the encoder's hidden states where the layer attends to them; None: it does not.
    """

    depth: Depth
    layer: int = 0
    memory_dim: int | None = None


def build_layer(config: LayerConfig, place: Place) -> nn.Module:
    """The block of one layer, its weights unset."""
    shape = AttentionShape(config.dim, config.attention_heads, config.dim, place.depth, place.layer)
    cross = None if place.memory_dim is None else shape._replace(memory_dim=place.memory_dim)
    dropout = config.dropout
    return config.block.build(
        Sublayers(
            self_attention=Attention(config.attention, shape, dropout.attention),
            cross_attention=None if cross is None else Attention(config.attention, cross, dropout.attention),
            feed_forward=config.feed_forward.build(
                FeedForwardShape(config.dim, config.inner_dim, dropout.feed_forward, place.depth)
            ),
        ),
        config.placements,
        Wrapping(
            config.norm,
            config.dim,
            dropout.residual,
            config.residual,
            place.depth,
            place.layer,
            dropout.of_branch(place.layer, place.depth.num_layers),
        ),
    )
