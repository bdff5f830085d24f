"""Initializations, by role of the weight.

Every parameter is drawn from a generator of its own, keyed by (seed, name of the parameter): the global random stream
is not touched, and changing one part of a model leaves the initial weights of all others as they were, which is what a
paired ablation wants. Norm weights start at 1, biases at 0, the padding row at 0, in every scheme; a module whose
parameters start elsewhere says so in its `starts`.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from zoo.config import Config, setting
from zoo.nn.linear import Embedding, Linear, Site
from zoo.registry import Choice


@dataclass(frozen=True, kw_only=True)
class InitializationConfig(Config, Choice, noun="initialization"):
    """How weights are drawn before training."""

    def fill(self, weight: Tensor, site: Site, generator: torch.Generator) -> None:
        """Draws `weight` in place: (out, in) of a projection, (rows, dim) of a table.

        Args:
            weight: what to fill.
            site: where it stands.
            generator: where the numbers come from.
        """
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class BertInitializationConfig(InitializationConfig, kind="bert"):
    """Devlin et al. 2018, arXiv:1810.04805: a normal cut off at two standard deviations, the same for every weight."""

    std: float = setting(0.02, "standard deviation before the cut", above=0)

    def fill(self, weight: Tensor, site: Site, generator: torch.Generator) -> None:
        """Truncated normal."""
        nn.init.trunc_normal_(weight, std=self.std, a=-2 * self.std, b=2 * self.std, generator=generator)


@dataclass(frozen=True, kw_only=True)
class GPT2InitializationConfig(InitializationConfig, kind="gpt2"):
    """Radford et al. 2019, section 2.3: normal, and what is added to the residual stream scaled by 1/√branches."""

    std: float = setting(0.02, "standard deviation", above=0)
    position_std: float = setting(0.02, "standard deviation of learned positions (released GPT-2: 0.01)", above=0)

    def fill(self, weight: Tensor, site: Site, generator: torch.Generator) -> None:
        """Normal, depth-scaled on the residual branches."""
        std = self.position_std if site.role == "position_embedding" else self.std
        if site.role in ("attention_output", "feed_forward_output"):
            std = std / math.sqrt(max(site.depth.num_branches, 1))
        nn.init.normal_(weight, std=std, generator=generator)


@dataclass(frozen=True, kw_only=True)
class T5InitializationConfig(InitializationConfig, kind="t5"):
    """Raffel et al. 2020 (released mesh-tensorflow code): normal, each weight by its fan-in.

    Queries carry the 1/√head_dim that T5's attention leaves out (scale 1). A free output layer has std 1/√dim as in
    t5x, so that its first loss is about ln V; the tied one is scaled in the head. The table of relative biases is
    uniform with variance 2 / (buckets + heads), TensorFlow's default, which that code leaves it at and t5x spells out.
    """

    factor: float = setting(1.0, "on every standard deviation", above=0)

    def fill(self, weight: Tensor, site: Site, generator: torch.Generator) -> None:
        """Normal with std factor / √fan-in; token tables have std `factor`."""
        if site.role == "relative_bias":
            nn.init.xavier_uniform_(weight, gain=self.factor, generator=generator)
            return
        fan_in = weight.shape[1]
        std = {
            "query": (fan_in * max(site.head_dim, 1)) ** -0.5,
            "token_embedding": 1.0,
            "segment_embedding": 1.0,
            "position_embedding": 1.0,
        }.get(site.role, fan_in**-0.5)
        nn.init.normal_(weight, std=self.factor * std, generator=generator)


@dataclass(frozen=True, kw_only=True)
class XavierInitializationConfig(InitializationConfig, kind="xavier"):
    """Glorot & Bengio 2010: uniform with variance 2 / (fan-in + fan-out); tables normal with std dim^−½.

    The released code of the original Transformer does both.
    """

    gain: float = setting(1.0, "on every bound", above=0)

    def fill(self, weight: Tensor, site: Site, generator: torch.Generator) -> None:
        """Xavier uniform for projections, normal for tables."""
        if site.role in ("token_embedding", "segment_embedding", "position_embedding", "relative_bias"):
            nn.init.normal_(weight, std=self.gain * weight.shape[1] ** -0.5, generator=generator)
        else:
            nn.init.xavier_uniform_(weight, gain=self.gain, generator=generator)


@torch.no_grad()
def initialize(model: nn.Module, config: InitializationConfig, seed: int) -> None:
    """Fills every parameter of the model in place.

    Args:
        model: any module made of zoo's parts.
        config: the scheme.
        seed: the same seed and the same parameter name give the same numbers.
    """
    for name, module in model.named_modules():
        if isinstance(module, Linear | Embedding):
            generator = torch.Generator().manual_seed(_key(seed, name))
            weight = torch.empty(module.weight.shape, dtype=torch.float32)
            config.fill(weight, module.site, generator)
            module.weight.copy_(weight)
            if isinstance(module, Linear) and module.bias is not None:
                module.bias.zero_()
            if isinstance(module, Embedding) and module.padding_idx is not None:
                module.weight[module.padding_idx].zero_()
        else:
            for parameter_name, parameter in module.named_parameters(recurse=False):
                parameter.fill_(start_of(module, parameter_name))


def start_of(module: nn.Module, name: str) -> float:
    """The number that a parameter outside projections and tables starts at.

    A module says so in its `starts`, by name; without that a bias starts at 0 and anything else at 1.
    """
    starts: Mapping[str, float] = getattr(module, "starts", {})
    return starts.get(name, 0.0 if name == "bias" else 1.0)


def _key(seed: int, name: str) -> int:
    return int.from_bytes(hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=8).digest(), "little") >> 1
