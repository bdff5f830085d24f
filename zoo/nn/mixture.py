"""A mixture of experts: many feed-forwards, of which each token goes through a few.

    output = Σ over the token's experts of weight · expert(x) + shared(x)

Shazeer et al. 2017, arXiv:1701.06538; Lepikhin et al. 2020 (GShard), arXiv:2006.16668. Shared experts, which every
token goes through: Dai et al. 2024 (DeepSeekMoE), arXiv:2401.06066, section 3.2; as in its released code they are one
feed-forward, as wide as all of them. Who goes where: `router.py`; how loads are kept equal: `balancing.py`.

Nothing is dropped: unlike GShard and Switch, experts have no capacity (Gale et al. 2022, arXiv:2211.15841). Tokens are
sorted by expert and each expert works on its own at once, so what a token becomes does not depend on its neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from zoo.config import setting
from zoo.errors import ConfigError
from zoo.nn.feed_forward import (
    ACTIVATIONS,
    WIDTH_MULTIPLE,
    ActivatedFeedForwardConfig,
    FeedForwardShape,
    GatedFeedForwardConfig,
    PlainFeedForwardConfig,
    WidthRule,
    inner_dim_by,
)
from zoo.nn.router import Router, RouterConfig, RouterShape

EXPERTS: dict[str, type[PlainFeedForwardConfig | GatedFeedForwardConfig]] = {
    "plain": PlainFeedForwardConfig,
    "gated": GatedFeedForwardConfig,
}
"""What an expert may be."""


@dataclass(frozen=True, kw_only=True)
class MixtureConfig(ActivatedFeedForwardConfig, kind="mixture"):
    """Many experts, of which each token goes through a few; feed_forward_dim is the inner width of one."""

    activation: str = setting("silu", f"the nonlinearity of the experts: {', '.join(ACTIVATIONS)}")
    expert: Literal["plain", "gated"] = setting("gated", "the kind of feed-forward that each expert is")
    num_experts: int = setting(8, "experts to choose from", minimum=2, maximum=4096)
    top_k: int = setting(2, "how many of them each token goes through, fewer than all", minimum=1)
    num_shared_experts: int = setting(0, "experts beside these that every token goes through", minimum=0, maximum=4096)
    router: RouterConfig = setting(RouterConfig(), "how the experts of a token are chosen and weighed")
    width: WidthRule = setting(
        "as_given",
        "as_given: feed_forward_dim is the inner width of an expert; equal_parameters: it is that of a plain "
        "feed-forward with as many weights as all experts together, shared ones too; each of them is as wide as that "
        f"makes it, to the nearest multiple of {WIDTH_MULTIPLE}",
    )

    def validate(self) -> None:
        """Refuses choices that are none, and a router that does not suit the numbers."""
        super().validate()
        if self.top_k >= self.num_experts:
            raise ConfigError(
                f"{self.top_k} is not below num_experts={self.num_experts}: nothing would be left to choose", "top_k"
            )
        try:
            self.router.check(self.num_experts, self.top_k)
        except ConfigError as error:
            raise error.under("router") from None

    def inner_dim(self, width: int) -> int:
        """The inner width of one expert."""
        num_matrices = {"plain": 2, "gated": 3}[self.expert]
        return inner_dim_by(self.width, width, num_matrices * (self.num_experts + self.num_shared_experts))

    def build(self, shape: FeedForwardShape) -> nn.Module:
        """The mixture."""
        return Mixture(self, shape)


class Mixture(nn.Module):
    """Routes each token through its experts.

    Args:
        config: how many there are, what each is, and how they are chosen.
        shape: widths and dropout.

    Attributes:
        num_idle: experts that a token does not go through.
    """

    def __init__(self, config: MixtureConfig, shape: FeedForwardShape) -> None:
        super().__init__()
        expert = EXPERTS[config.expert](activation=config.activation, bias=config.bias)
        one = shape._replace(width=config.inner_dim(shape.width))
        all_shared = one._replace(width=config.num_shared_experts * one.width)
        router_shape = RouterShape(shape.dim, config.num_experts, config.top_k)
        self.router = Router(config.router, router_shape, shape.site("router"))
        self.experts = nn.ModuleList(expert.build(one) for _ in range(config.num_experts))
        self.shared = expert.build(all_shared) if config.num_shared_experts else Nothing()
        self.num_idle = config.num_experts - config.top_k
        shared = f" and {config.num_shared_experts} shared" if config.num_shared_experts else ""
        self.name = f"{config.num_experts} experts, {config.top_k}{shared} for each token"

    def forward(self, hidden_BTD: Tensor) -> Tensor:
        """(B, T, D) → (B, T, D), each position by itself."""
        experts_NK, weights_NK = self.router(hidden_BTD)
        top_k, num_experts = experts_NK.shape[1], len(self.experts)
        # Each token K times, M = N · K, in the order of the experts and back. Picking by a permutation, unlike picking
        # a token K times, has a backward that adds nothing up in an order of the machine's choosing.
        order_M = experts_NK.flatten().argsort(stable=True)
        places_MD = hidden_BTD.flatten(0, -2)[:, None].expand(-1, top_k, -1).flatten(0, 1).index_select(0, order_M)
        loads = experts_NK.flatten().bincount(minlength=num_experts).tolist()
        # An expert without tokens runs too: its gradient is then zero, not missing.
        done = [expert(part) for expert, part in zip(self.experts, places_MD.split(loads), strict=True)]
        outputs_NKD = torch.cat(done).index_select(0, order_M.argsort()).unflatten(0, (-1, top_k))
        mixed_ND = (weights_NK[..., None] * outputs_NKD).sum(1).to(outputs_NKD.dtype)
        return mixed_ND.view_as(hidden_BTD) + self.shared(hidden_BTD)

    def extra_repr(self) -> str:
        """In one line: how many experts, and what each is."""
        return f"{self.name}, each {self.experts[0].extra_repr()}"


class Nothing(nn.Module):
    """Stands where there is no shared expert: it adds nothing."""

    def forward(self, hidden_BTD: Tensor) -> float:
        """Zero."""
        return 0.0
