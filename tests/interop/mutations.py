"""One field of our config changed: does anybody notice?

Parity alone does not show that a field acts. Each field of our config, but for a few with a reason, is changed alone;
the same weights in the changed model must then move logits, loss or gradients by far more than parity tolerates.
"""

from collections.abc import Mapping
from fnmatch import fnmatch
from typing import Any

import torch
from torch import Tensor, nn

from tests.interop.parity import CASES, Result, difference, foreign_config, oracle, oracle_result, our_result, sides
from tests.oracle import randomize
from zoo.config import build, flatten, to_mapping
from zoo.interop import read_config, to_zoo
from zoo.models import Model, ModelConfig

MOVES = 1e-6
"""What a changed field moves logits, loss or gradients by, at least: far above the tolerance of parity."""

MUTATIONS: dict[str, Any] = {
    "dim": 24,
    "num_layers": 1,
    "head_dim": 4,
    "feed_forward_dim": 19,
    "vocab_size": 41,
    "attention.scale": 0.3,
    "attention.cap": 2.0,
    "attention.window": 3,
    "attention.query_key_norm": {"kind": "rms_norm"},
    "norm.eps": 2e-3,
    "placement": "sandwich",
    "attention_placement": "branch_output",
    "sharing.kind": "all",
    "layers": {"0": {"attention": {"window": 1}}},
    "embedding.scale": "sqrt_dim",
    "heads.language_model.scale": "inverse_sqrt_dim",
    "feed_forward.activation": "tanh",
}
"""Changes of one field that no architecture survives; each test file adds its own."""

UNSEEN = {
    "attention.kind": "other projections have other weights",
    "block.kind": "another block is another network; each kind is tested by itself",
    "residual.kind": "likewise",
    "attention.kernel": "computes the same; parity is tested with each",
    "dropout.*": "acts in training only",
    "heads.*.kind": "another head is another model",
    "initialization.*": "is how weights are drawn",
    "max_length": "bounds the rows; learned tables refuse what lies past it",
}
"""Fields that outputs and gradients do not depend on, and why."""


def mutated(config: ModelConfig, path: str, value: Any) -> ModelConfig:
    """The config with one field changed; a changed `kind` keeps what it can of its group. May raise ConfigError."""
    settings: dict[str, Any] = to_mapping(config)
    *groups, last = path.split(".")
    group = settings
    for name in groups:
        group = group[name]
    group[last] = value
    if last == "kind" and groups:
        owner: Any = config
        for name in groups:
            owner = owner[name] if isinstance(owner, dict) else getattr(owner, name)
        legal = {"kind", *type(owner).choice(value).__dataclass_fields__}
        for name in set(group) - legal:
            del group[name]
    model = build(ModelConfig, settings)
    assert isinstance(model, ModelConfig)
    return model


def with_weights_of(config: ModelConfig, weights: Mapping[str, Tensor]) -> Model:
    """A model of this config with as much of the given weights as its shapes have room for, the rest random."""
    model = config.build_unset().double().eval()
    for module in model.modules():  # norms keep weights near 1
        if isinstance(module, nn.LayerNorm | nn.RMSNorm):
            module.reset_parameters()
    randomize(model, seed=3)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in weights and weights[name].ndim == parameter.ndim:
                overlap = tuple(map(slice, map(min, parameter.shape, weights[name].shape)))
                parameter[overlap] = weights[name][overlap]
    return model


def mutation_effect(name: str, path: str, value: Any) -> float:
    """What one changed field moves most: logits, loss or the gradients of the weights that both have."""
    case, theirs = CASES[name], oracle_result(name, "right")
    config = mutated(read_config(case.architecture, foreign_config(name)), "attention.kernel", "reference")
    if path:
        config = mutated(config, path, value)
    weights = to_zoo(case.architecture, oracle(name).state_dict(), foreign_config(name))
    ours = our_result(with_weights_of(config, weights), case.architecture, sides(case, "right"))
    common = [n for n, g in theirs.gradients.items() if n in ours.gradients and g.shape == ours.gradients[n].shape]
    kept = (
        Result({h: r.logits[h] for h in theirs.logits}, r.loss, {n: r.gradients[n] for n in common})
        for r in (ours, theirs)
    )
    return max(difference(*kept))


def untested_fields(name: str, mutations: Mapping[str, Any], unseen: Mapping[str, str]) -> set[str]:
    """Fields of our config that no mutation changes and that are not known to be unseen."""
    fields = flatten(to_mapping(read_config(CASES[name].architecture, foreign_config(name))))
    return {path for path in fields if path not in mutations and not any(fnmatch(path, seen) for seen in unseen)}
