"""Multi-head latent attention: keys and values of all heads come from one narrow latent of each place.

    latent = norm(W_DKV memory);  own part of keys = W_UK latent;  values = W_UV latent;  shared part = W_KR memory

DeepSeek-V2, arXiv:2405.04434, section 2.1; biases as DeepSeek-V3 has them, arXiv:2412.19437. A key is a part that all
heads share, made from the memory directly, and a part of its own. DeepSeek turns the shared part by its position, the
own part not at all: here the shared channels come first, so that rotary positions with `width` = `shared_key_dim` (and
`layout: interleaved`) do the same.

Deviations: in DeepSeek's files the shared channels come last. A cache holds the keys and values of all heads for now,
not the latents.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from zoo.config import setting
from zoo.errors import ConfigError
from zoo.nn.attention import AttentionConfig
from zoo.nn.init import WidthEntry
from zoo.nn.linear import Linear
from zoo.nn.norm import NormConfig, RMSNormConfig
from zoo.nn.projection import AttentionShape, Heads, Projections, split_heads


@dataclass(frozen=True, kw_only=True)
class LatentAttentionConfig(AttentionConfig, kind="latent"):
    """Keys and values from a latent; `head_dim` is the width of a query, shared channels and own ones together."""

    output_bias: bool = setting(False, "bias of the output projection", zero_adds_nothing=True)
    query_rank: int | None = setting(None, "width of a latent that queries come from; null: there is none", minimum=1)
    key_value_rank: int | None = setting(
        None, "width of the latent that keys and values come from; null: 4 · head_dim", minimum=1
    )
    shared_key_dim: int | None = setting(
        None, "channels of each key, the first, that all heads share; null: head_dim / 2", minimum=1
    )
    value_dim: int | None = setting(None, "width of the values of one head; null: head_dim", minimum=1)
    latent_norm: NormConfig = setting(RMSNormConfig(), "norm of each latent")
    latent_bias: bool = setting(
        False, "bias of the projections to latents and to the shared part of the keys", zero_adds_nothing=True
    )

    def validate(self) -> None:
        """Refuses a norm that mixes rows, and all that no attention can have."""
        super().validate()
        if self.latent_norm.mixes_rows:
            raise ConfigError(
                f"{self.latent_norm.kind!r} {self.latent_norm.mixes_rows}; latents of queries and of keys stand at "
                "different places, of which it would have to know the padding: use another norm",
                "latent_norm",
            )

    def check(self, heads: Heads) -> None:
        """Refuses grouped heads, and keys without a part of their own."""
        super().check(heads)
        if heads.num_kv_heads != heads.num_heads:
            raise ConfigError(
                f"'latent' makes keys and values for each query head: num_kv_heads={heads.num_kv_heads} must be "
                f"num_heads={heads.num_heads}",
                "kind",
            )
        if self.widths(heads).shared >= heads.head_dim:
            raise ConfigError(
                f"{self.widths(heads).shared} leaves no channel of head_dim={heads.head_dim} to each head; choose less",
                "shared_key_dim",
            )

    def width_entries(self, heads: Heads) -> Iterator[WidthEntry]:
        """Those of every attention, and of the norm of latents, whose ranks grow with a model."""
        yield from super().width_entries(heads)
        yield from (entry.under("latent_norm") for entry in self.latent_norm.width_entries())

    def widths(self, heads: Heads) -> LatentWidths:
        """The widths in numbers."""
        return LatentWidths(
            self.query_rank,
            self.key_value_rank or 4 * heads.head_dim,
            self.shared_key_dim or max(heads.head_dim // 2, 1),
            self.value_dim or heads.head_dim,
        )

    def value_width(self, heads: Heads) -> int:
        """Width V of the values of one head."""
        return self.widths(heads).value

    def build_projections(self, shape: AttentionShape) -> Projections:
        """The matrices down to the latents and up from them."""
        return LatentProjections(self.widths(shape.heads), self.latent_norm, self.latent_bias, shape)


class LatentWidths(NamedTuple):
    """Widths of what lies between hidden states and heads.

    Attributes:
        query: of the latent that queries come from; None: they come from the hidden state.
        key_value: of the latent that keys and values come from.
        shared: of the part of a key that all heads share.
        value: of the values of one head.
    """

    query: int | None
    key_value: int
    shared: int
    value: int


class LatentProjections(Projections):
    """Down to the latents, a norm, and up to the heads.

    Args:
        widths: of latents and heads.
        norm: of each latent.
        bias: whether the projections to the latents and to the shared part have biases.
        shape: of the layer.
    """

    def __init__(self, widths: LatentWidths, norm: NormConfig, bias: bool, shape: AttentionShape) -> None:
        super().__init__()
        heads, rank = shape.heads, widths.key_value
        self.query_latent: nn.Module = nn.Identity()
        self.query_norm: nn.Module = nn.Identity()
        if widths.query is not None:
            self.query_latent = Linear(shape.dim, widths.query, bias, site=shape.site("query_latent"))
            self.query_norm = norm.build(widths.query)
        self.query = Linear(
            widths.query or shape.dim, heads.num_heads * heads.head_dim, bias=False, site=shape.site("query")
        )
        self.key_value_latent = Linear(shape.memory_dim, rank, bias, site=shape.site("key_value_latent"))
        self.key_value_norm = norm.build(rank)
        self.shared_key = Linear(shape.memory_dim, widths.shared, bias, site=shape.site("shared_key"))
        own = heads.head_dim - widths.shared
        self.key = Linear(rank, heads.num_heads * own, bias=False, site=shape.site("key"))
        self.value = Linear(rank, heads.num_heads * widths.value, bias=False, site=shape.site("value"))
        self.head_dims = heads.head_dim, own, widths.value

    def memory_layers(self) -> list[Linear]:
        """Everything about keys and values."""
        return [self.key_value_latent, self.shared_key, self.key, self.value]

    def queries(self, hidden_BTD: Tensor) -> Tensor:
        """(B, H, T, K)."""
        return split_heads(self.query(self.query_norm(self.query_latent(hidden_BTD))), self.head_dims[0])

    def keys_values(self, memory_BSD: Tensor) -> tuple[Tensor, Tensor]:
        """Keys (B, H, S, K) and values (B, H, S, V)."""
        _, own_dim, value_dim = self.head_dims
        latent_BSR = self.key_value_norm(self.key_value_latent(memory_BSD))
        own_BHSE, v_BHSV = split_heads(self.key(latent_BSR), own_dim), split_heads(self.value(latent_BSR), value_dim)
        shared_BHSC = self.shared_key(memory_BSD)[:, None].expand(-1, own_BHSE.shape[1], -1, -1)
        return torch.cat((shared_BHSC, own_BHSE), dim=-1), v_BHSV
