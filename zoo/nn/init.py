"""Initializations, by role of the weight.

Every parameter is drawn from a generator of its own, keyed by (seed, name of the parameter): the global random stream
is not touched, and changing one part of a model leaves the initial weights of all others as they were, which is what a
paired ablation wants. Norm weights start at 1, biases at 0, padding and spare rows at 0, in every scheme; a module
whose parameters start elsewhere, or are drawn, says so in its `starts`.

A scheme may also say how the learning rate of a weight depends on its shape (muP), for the optimizer's groups.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from zoo.config import Config, setting
from zoo.errors import ConfigError
from zoo.nn.linear import Depth, Embedding, Linear, Role, Site
from zoo.registry import Choice

TABLES: frozenset[Role] = frozenset({"token_embedding", "segment_embedding", "position_embedding", "relative_bias"})
"""Roles of what is looked up by row; all others are the matrices of projections."""

RESIDUAL_OUTPUTS: frozenset[Role] = frozenset({"attention_output", "feed_forward_output"})
"""Roles of what writes into the residual stream."""


WIDTH_ENDS: frozenset[Role] = frozenset({"head_output", "router"})
"""Roles of matrices whose inputs grow with the width of a model, and whose outputs do not."""


class Normal(NamedTuple):
    """The start of a parameter that is drawn, whatever the scheme: normal numbers around 0.

    Attributes:
        std: their standard deviation.
    """

    std: float


class WidthEntry(NamedTuple):
    """A setting by which the width of a model scales something besides its weights.

    Attributes:
        key: its dotted name, "" where the part itself is the setting. value: what it is.
        remedy: what it does with the width, and what to set.
    """

    key: str
    value: object
    remedy: str

    def under(self, prefix: str) -> WidthEntry:
        """The same, as the part that holds the setting names it."""
        return self._replace(key=f"{prefix}.{self.key}".strip("."))


@dataclass(frozen=True, kw_only=True)
class InitializationConfig(Config, Choice, noun="initialization"):
    """How weights are drawn before training."""

    rates_for: ClassVar[str] = ""
    """The family of optimizers that `learning_rate_factor` is right for; "": any, as long as it is 1."""

    zero_output: bool = setting(
        False,
        "whether what writes into the residual stream starts at zero (Fixup, Zhang et al. 2019, arXiv:1901.09321)",
    )

    def check(self, entries: Iterable[WidthEntry]) -> None:
        """Raises ConfigError where the scheme does not hold for a model with these settings."""

    def learning_rate_factor(self, site: Site, weight: Tensor) -> float:
        """Factor on the learning rate of a weight, (out, in) of a projection or (rows, dim) of a table."""
        return 1.0

    def draw(self, weight: Tensor, site: Site, generator: torch.Generator) -> None:
        """Fills `weight` in place, by the scheme or with zeros; arguments as in `fill`."""
        if self.zero_output and site.role in RESIDUAL_OUTPUTS:
            weight.zero_()
        else:
            self.fill(weight, site, generator)

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
        if site.role in RESIDUAL_OUTPUTS:
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
        if site.role in TABLES:
            nn.init.normal_(weight, std=self.gain * weight.shape[1] ** -0.5, generator=generator)
        else:
            nn.init.xavier_uniform_(weight, gain=self.gain, generator=generator)


@dataclass(frozen=True, kw_only=True)
class SmallInitializationConfig(InitializationConfig, kind="small"):
    """Nguyen & Salazar 2019, arXiv:1910.05895, section 2.2 (SmallInit): normal with variance 2 / (5 · dim).

    It is Xavier's variance of a feed-forward four times as wide as the model, for every weight; the table of relative
    biases has its heads for dim, a token table of a width of its own that width.
    """

    def fill(self, weight: Tensor, site: Site, generator: torch.Generator) -> None:
        """Normal, the same for all weights of a model."""
        nn.init.normal_(weight, std=math.sqrt(2 / (5 * _width(weight, site))), generator=generator)


@dataclass(frozen=True, kw_only=True)
class MegatronInitializationConfig(InitializationConfig, kind="megatron"):
    """Shoeybi et al. 2019, arXiv:1909.08053: normal, and what is added to the stream scaled by 1/√(2 · layers).

    A standard deviation of √(1 / (3 · dim)) is that of MT-NLG, Smith et al. 2022, arXiv:2201.11990 (0.004 at 20480).
    """

    std: float | None = setting(None, "standard deviation; null: √(1 / (3 · dim))", above=0)

    def fill(self, weight: Tensor, site: Site, generator: torch.Generator) -> None:
        """Normal, depth-scaled on the residual branches."""
        std = self.std or math.sqrt(1 / (3 * _width(weight, site)))
        if site.role in RESIDUAL_OUTPUTS:
            std = std / math.sqrt(2 * max(site.depth.num_layers, 1))
        nn.init.normal_(weight, std=std, generator=generator)


@dataclass(frozen=True, kw_only=True)
class DeepNormInitializationConfig(InitializationConfig, kind="deepnorm"):
    """Wang et al. 2022, arXiv:2203.00555: Xavier normal, with gain beta on values, attention output and feed-forward.

    Made for `residual: deepnorm`. The paper leaves tables open; here they are normal with std dim^−½.
    """

    beta: float | None = setting(None, "the gain; null: the paper's, from the depth", above=0)

    def fill(self, weight: Tensor, site: Site, generator: torch.Generator) -> None:
        """Xavier normal for projections, normal for tables."""
        if site.role in TABLES:
            nn.init.normal_(weight, std=weight.shape[1] ** -0.5, generator=generator)
            return
        scaled = site.role in ("value", "attention_output") or site.role.startswith("feed_forward")
        gain = (self.beta or deepnorm_beta(site.depth)) if scaled else 1.0
        nn.init.xavier_normal_(weight, gain=gain, generator=generator)


def deepnorm_beta(depth: Depth) -> float:
    """Wang et al. 2022, figure 2: N encoder layers and M decoder layers; 1 outside of a stack."""
    encoder, decoder = depth.encoder_layers, depth.decoder_layers
    if encoder and decoder:
        return float((12 * decoder) ** -0.25 if depth.in_decoder else 0.87 * (encoder**4 * decoder) ** (-1 / 16))
    return float((8 * (encoder or decoder)) ** -0.25) if encoder or decoder else 1.0


@dataclass(frozen=True, kw_only=True)
class MuPInitializationConfig(InitializationConfig, kind="mup"):
    """Yang et al. 2022, arXiv:2203.03466, table 3 for Adam: what is learned keeps its size at every width.

    | weight               | variance                    | learning rate  |
    |----------------------|-----------------------------|----------------|
    | tables, biases, norms| std²                        | 1              |
    | hidden matrices      | std² · base_dim / fan-in    | base_dim/fan-in|
    | outputs, routers     | std² · (base_dim / fan-in)² | base_dim/fan-in|

    The learning rate and all else are found at a small width and hold at a large one. Weight decay is divided by the
    factor of the learning rate, so that it stays what it is.
    """

    rates_for: ClassVar[str] = "Adam"

    std: float = setting(0.02, "standard deviation of tables, and of a matrix with base_dim inputs", above=0)
    base_dim: int = setting(128, "the width at which the learning rate is that of the config", minimum=1)

    def check(self, entries: Iterable[WidthEntry]) -> None:
        """Refuses everything that scales with the width by itself."""
        found = "; ".join(f"{key}={value} ({remedy})" for key, value, remedy in entries)
        if found:
            raise ConfigError(f"'mup' does not go with {found}", "initialization")

    def learning_rate_factor(self, site: Site, weight: Tensor) -> float:
        """1 for tables, base_dim / fan-in for matrices."""
        return 1.0 if site.role in TABLES else self.base_dim / weight.shape[1]

    def fill(self, weight: Tensor, site: Site, generator: torch.Generator) -> None:
        """Normal, by the table."""
        power = 0.0 if site.role in TABLES else 1.0 if site.role in WIDTH_ENDS else 0.5
        nn.init.normal_(weight, std=self.std * (self.base_dim / weight.shape[1]) ** power, generator=generator)


def _width(weight: Tensor, site: Site) -> int:
    """Width of the model around a weight; outside of the stacks each weight has it for its last side."""
    return site.dim or weight.shape[1]


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
            used, spare = module.weight.split((len(module.weight) - module.spare, module.spare))
            spare.zero_()
            in_place = used.dtype is torch.float32 and used.device.type == "cpu"
            weight = used if in_place else torch.empty(used.shape, dtype=torch.float32)
            config.draw(weight, module.site, generator)
            if not in_place:
                used.copy_(weight)
            if isinstance(module, Linear) and module.bias is not None:
                module.bias.zero_()
            if isinstance(module, Embedding) and module.padding_idx is not None:
                module.weight[module.padding_idx].zero_()
        else:
            for own_name, parameter in module.named_parameters(recurse=False):
                generator = torch.Generator().manual_seed(_key(seed, f"{name}.{own_name}"))
                _start(parameter, start_of(module, own_name), generator)


def learning_rate_factors(model: nn.Module, config: InitializationConfig) -> dict[Tensor, float]:
    """The factor on the learning rate of each weight of a projection or table; all other parameters have 1."""
    parts = [module for module in model.modules() if isinstance(module, Linear | Embedding)]
    return {module.weight: config.learning_rate_factor(module.site, module.weight) for module in parts}


def start_of(module: nn.Module, name: str) -> float | Normal:
    """The number that a parameter outside projections and tables starts at, or what it is drawn from.

    A module says so in its `starts`, by name; without that a bias starts at 0 and anything else at 1.
    """
    starts: Mapping[str, float | Normal] = getattr(module, "starts", {})
    return starts.get(name, 0.0 if name == "bias" else 1.0)


def _start(parameter: Tensor, start: float | Normal, generator: torch.Generator) -> None:
    """Fills `parameter` in place, drawing in float32 whatever its precision."""
    if isinstance(start, Normal):
        drawn = torch.empty(parameter.shape, dtype=torch.float32)
        parameter.copy_(nn.init.normal_(drawn, std=start.std, generator=generator))
    else:
        parameter.fill_(start)


def _key(seed: int, name: str) -> int:
    return int.from_bytes(hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=8).digest(), "little") >> 1
