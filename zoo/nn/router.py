"""Which experts of a mixture a token goes to, and how much each of them counts.

    weights = scale · normalize(scores of the top-k experts by score + bias)

Softmax scores, normalized over the chosen (Mixtral, Jiang et al. 2024, arXiv:2401.04088) or not (Switch,
arXiv:2101.03961); sigmoid scores and a factor on the result (DeepSeek-V3, arXiv:2412.19437, section 2.1.2). With
expert groups a token first chooses some groups, by the sum of the two best scores in each, and then its experts among
theirs (DeepSeek-V3; DeepSeek-V2 takes the one best score). The scores are computed in float32 at least, as Switch does.
The choice depends on the token alone: there is no capacity that neighbours could fill, and no noise.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from zoo.config import Config, setting
from zoo.errors import ConfigError
from zoo.nn.balancing import BalancingConfig, NoBalancingConfig, Routed
from zoo.nn.linear import Linear, Site
from zoo.nn.padding import PaddingAware

Scoring = Literal["softmax", "sigmoid"]
ROUNDING = 1e-20
"""Added to the sum that weights are divided by, as DeepSeek-V3 does: sigmoid scores may all be 0."""


@dataclass(frozen=True, kw_only=True)
class ExpertGroupsConfig(Config):
    """A token's experts come from a few groups only, each of which may live on a device of its own."""

    num_groups: int = setting(2, "groups of equally many experts, a divisor of num_experts", minimum=2)
    top_groups: int = setting(1, "how many of them a token chooses its experts from", minimum=1)

    def check(self, num_experts: int, top_k: int) -> None:
        """Raises ConfigError where the experts cannot be grouped like this, or the groups limit nothing."""
        size = num_experts // self.num_groups
        if num_experts % self.num_groups or size < 2:
            legal = [n for n in range(2, num_experts // 2 + 1) if num_experts % n == 0]
            raise ConfigError(
                f"{self.num_groups} does not divide num_experts={num_experts} into groups of two or more (legal: "
                f"{', '.join(map(str, legal)) or 'none'})",
                "num_groups",
            )
        if self.top_groups >= self.num_groups:
            raise ConfigError(f"{self.top_groups} is not below num_groups={self.num_groups}", "top_groups")
        if self.top_groups * size < top_k:
            raise ConfigError(f"{self.top_groups} groups of {size} experts are less than top_k={top_k}", "top_groups")


@dataclass(frozen=True, kw_only=True)
class RouterConfig(Config):
    """How a mixture chooses its experts."""

    scoring: Scoring = setting("softmax", "how logits become scores: over all experts together, or each by itself")
    normalize: bool = setting(True, "whether the weights of a token's experts are made to add up to 1")
    scale: float = setting(1.0, "factor on the weights (DeepSeek-V3: 2.5)", above=0)
    groups: ExpertGroupsConfig | None = setting(None, "choose some groups of experts first; null: there are no groups")
    balancing: BalancingConfig = setting(NoBalancingConfig(), "how the experts are kept equally busy")

    def check(self, num_experts: int, top_k: int) -> None:
        """Raises ConfigError where so many experts cannot be chosen from like this."""
        if self.normalize and top_k == 1:
            raise ConfigError(
                "true makes the weight of the only expert of a token 1 whatever the router says, so it would not "
                "learn; use false, or top_k=2",
                "normalize",
            )
        if self.groups is not None:
            try:
                self.groups.check(num_experts, top_k)
            except ConfigError as error:
                raise error.under("groups") from None


class Routing(NamedTuple):
    """Where N tokens go.

    Attributes:
        experts_NK: int64, the K experts of each token, from 0.
        weights_NK: how much each of them counts.
    """

    experts_NK: Tensor
    weights_NK: Tensor


class RouterShape(NamedTuple):
    """The numbers of a router: width D of the hidden state, experts E, and how many K a token goes to."""

    dim: int
    num_experts: int
    top_k: int


SCORES: dict[Scoring, Callable[[Tensor], Tensor]] = {
    "softmax": functools.partial(torch.softmax, dim=-1),
    "sigmoid": torch.sigmoid,
}


class Router(PaddingAware):
    """Scores all experts and chooses a few.

    Args:
        config: how.
        shape: widths and numbers.
        site: where its weight stands.
    """

    def __init__(self, config: RouterConfig, shape: RouterShape, site: Site) -> None:
        super().__init__()
        self.project = Linear(shape.dim, shape.num_experts, bias=False, site=site)
        self.scores = SCORES[config.scoring]
        self.limit = nn.Identity() if config.groups is None else GroupLimit(config.groups)
        self.top_k = shape.top_k
        self.normalize = sum_to_one if config.normalize else nn.Identity()
        self.scale = config.scale
        self.balancing = config.balancing.build(shape.num_experts)

    def forward(self, hidden_BTD: Tensor) -> Routing:
        """(B, T, D) or (N, D) → the experts of each token and their weights."""
        hidden_ND = hidden_BTD.flatten(0, -2)
        with torch.autocast(hidden_ND.device.type, enabled=False):
            logits_NE = self.project(hidden_ND.to(self.project.weight.dtype))
            logits_NE = logits_NE.to(torch.promote_types(logits_NE.dtype, torch.float32))
            scores_NE = self.scores(logits_NE)
            experts_NK = self.limit(self.balancing.sway(scores_NE.detach())).topk(self.top_k).indices
            weights_NK = self.scale * self.normalize(scores_NE.gather(1, experts_NK))
            if self.balancing.watching:
                parts = (part.unflatten(0, hidden_BTD.shape[:-1]) for part in (logits_NE, scores_NE, experts_NK))
                self.balancing.watch(Routed(*map(self.real, parts)))
        return Routing(experts_NK, weights_NK)

    def extra_repr(self) -> str:
        """What the modules inside do not show."""
        return f"top {self.top_k}, scale {self.scale:g}"


class GroupLimit(nn.Module):
    """Takes the experts of all but a few groups out of the choice.

    Args:
        config: how many groups, and how many of them stay.
    """

    def __init__(self, config: ExpertGroupsConfig) -> None:
        super().__init__()
        self.num_groups = config.num_groups
        self.top_groups = config.top_groups

    def forward(self, scores_NE: Tensor) -> Tensor:
        """(N, E) → (N, E), −inf for the experts of groups that are out."""
        scores_NGI = scores_NE.unflatten(1, (self.num_groups, -1))
        best_NG = scores_NGI.topk(2).values.sum(2)
        chosen_NG = best_NG.topk(self.top_groups).indices
        out_NG = torch.ones_like(best_NG, dtype=torch.bool).scatter(1, chosen_NG, False)
        return scores_NGI.masked_fill(out_NG[..., None], -torch.inf).flatten(1)


def sum_to_one(scores_NK: Tensor) -> Tensor:
    """The scores over their sum."""
    return scores_NK / (scores_NK.sum(1, keepdim=True) + ROUNDING)
