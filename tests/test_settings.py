"""No setting of a model is ignored: each field changes parameters, initial weights or outputs, or is refused.

Every field of every config that a model can have is varied on its own, by what its type, its bounds and the messages of
its refusals allow; the classes come from the registries.
"""

import dataclasses
import typing
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from tests.variations import Plain, Setting, changed, is_plain_group, settings_of, value_at, variations
from zoo.config import Config, build
from zoo.errors import ConfigError
from zoo.models import ModelConfig
from zoo.nn.positions import PositionsConfig
from zoo.nn.residual import PLACEMENTS
from zoo.nn.step import step_aware, watched
from zoo.registry import Choice

VOCAB_SIZE = 11
PLAIN: dict[str, Any] = {
    "kind": "encoder",
    "dim": 8,
    "num_layers": 4,
    "num_heads": 2,
    "head_dim": 32,
    "max_length": 32,
    "vocab_size": VOCAB_SIZE,
    "attention": {"kernel": "reference"},
    "initialization": {"kind": "gpt2", "std": 0.5},
    "heads": {"main": {"kind": "language_model"}},
}
CHANGE = 1e-9
"""Of float64: a relative change above this is an effect."""

# what stands beside a kind so that its fields can act
BESIDE: dict[tuple[str, str], dict[str, Any]] = {
    ("attention", "multi_head"): {"kernel": "reference"},
    ("attention", "latent"): {"kernel": "reference"},
    ("positions.scaling", "longrope"): {"original_length": 16, "short_factor": [3.0] * 16, "long_factor": [2.0] * 16},
}

# fields without an effect of their own, and why that is right
WITHOUT_EFFECT = {
    "positions.scaling.short_factor": "of the two lists, max_length > original_length asks for the other",
    "attention.kernel": "kernels are implementations of one function, equal under tests/test_contracts.py",
}


COMPANIONS: dict[str, dict[str, Any]] = {
    "residual=deepnorm": {"placement": "post"},
    "initialization=mup": {"attention.scale": "inverse", "heads.main.tied": False},
}
"""What a model needs besides to have a kind."""


class Condition(NamedTuple):
    """A field matters only where `other` has one of these values; elsewhere it may do nothing."""

    other: str
    values: set[str]
    reason: str


NORMED = set(PLACEMENTS) - {"none"}
MATTERS_WITH = {
    "max_length": Condition("positions", {"learned"}, "the rows of the table; a run also cuts its rows by it"),
    "initialization.position_std": Condition("positions", {"learned"}, "there is no such table elsewhere"),
    "norm": Condition("placement", NORMED, "without one, no part of this model has a norm"),
    "norm.eps": Condition("placement", NORMED, "likewise"),
    "norm.affine": Condition("placement", NORMED, "likewise"),
    "norm.bias": Condition("placement", NORMED, "likewise"),
}


# ----------------------------------------------------------------------------------------------------------- all fields


def placed(model: Plain, where: str, inside: str, alternative: type[Config]) -> Plain:
    """The model with this config there, and with what that needs beside it."""
    chosen = {"kind": alternative.kind} if issubclass(alternative, Choice) else {}
    chosen |= BESIDE.get((where, chosen.get("kind", "")), {})
    there = changed(model, inside, chosen, keep=not chosen)
    for other, needed in COMPANIONS.get(f"{where}={chosen.get('kind')}", {}).items():
        there = changed(there, other, needed)
    return there


def all_settings() -> dict[str, Setting]:
    """Every setting of every family, by a readable name."""
    settings = {}
    for family in ModelConfig.choices.values():
        for setting in settings_of(family, "", {**PLAIN, "kind": family.kind}, placed):
            owner = value_kind(setting)
            settings[f"{family.kind}-{setting.path}{owner}"] = setting
    return settings


def value_kind(setting: Setting) -> str:
    """The kind of the group that a setting stands in, as a suffix."""
    group = setting.path.rpartition(".")[0]
    kind = value_at(setting.plain, group).get("kind", "") if group and group_is_there(setting.plain, group) else ""
    return f"[{kind}]" if kind else ""


def group_is_there(model: dict[str, Any], path: str) -> bool:
    """Whether the plain data has the group."""
    for name in path.split("."):
        if not isinstance(model, dict) or name not in model:
            return False
        model = model[name]
    return isinstance(model, dict)


# ------------------------------------------------------------------------------------------------------------- effects


def outputs(model: Any) -> list[Tensor]:
    """Hidden states, logits, added losses and what they move, in evaluation, a training step, and evaluation again.

    The rows have padding, far positions and segments.
    """
    tokens = (torch.arange(20) * 7 % VOCAB_SIZE).reshape(2, 10)
    positions = torch.tensor([[0, 1, 2, 3, 5, 8, 13, 21, 25, 31]]).expand(2, -1)
    documents = torch.tensor([[0] * 10, [0] * 8 + [-1] * 2])
    inputs = {"tokens": tokens, "positions": positions, "documents": documents}
    if model.config.kind == "encoder_decoder":
        inputs |= {f"decoder_{name}": values for name, values in inputs.items()}
    if model.config.embedding.num_segments > 1:
        inputs["segments"] = tokens % 2
    found = []
    for training in (False, True, False):
        torch.manual_seed(0)
        model.train(training)
        parts = step_aware(model) if training else []
        with watched(parts) as losses:
            hidden = model.backbone(**inputs)
        found += [hidden, *(head(hidden) for head in model.heads.values()), *losses]
        for part in parts:
            if (counts := part.take_counts()) is not None:
                part.settle(counts)
            found += part.state_dict().values()
    return found


@torch.no_grad()
def differ(one: ModelConfig, other: ModelConfig) -> bool:
    """Whether two configs give models that differ in parameters, initial weights, or outputs."""
    left, right = (config.build(seed=0).double() for config in (one, other))
    weights = [dict(model.named_parameters()) for model in (left, right)]
    if weights[0].keys() != weights[1].keys():
        return True
    if any(apart(weights[0][name], weights[1][name]) for name in weights[0]):
        return True
    found = outputs(left), outputs(right)
    return len(found[0]) != len(found[1]) or any(apart(*pair) for pair in zip(*found, strict=True))


def apart(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors differ by more than rounding."""
    return one.shape != other.shape or bool((one - other).abs().max() > CHANGE * one.abs().max())


def has_effect(setting: Setting) -> bool | None:
    """Whether some other value of the setting has an effect.

    None where every other value or the group that it stands in is refused by name, or there is nothing else to choose.
    """
    try:
        config = build(ModelConfig, setting.plain)
    except ConfigError as error:
        if error.key == setting.path.rpartition(".")[0]:
            return None
        raise
    value = value_at(config, setting.path)
    try:
        build(ModelConfig, changed(setting.plain, setting.path, "no such value"))
        refusal = ""
    except ConfigError as error:
        refusal = str(error)
    legal, reasons = [], []
    for other in variations(setting.kind, value, refusal):
        try:
            legal.append(build(ModelConfig, changed(setting.plain, setting.path, other)))
        except ConfigError as error:
            reasons.append(str(error))
    if isinstance(setting.kind, type) and issubclass(setting.kind, Choice) and len(setting.kind.choices) == 1:
        return None
    if not legal and reasons:
        assert all(setting.path.rpartition(".")[2] in reason for reason in reasons), reasons
        return None
    return any(differ(config, other) for other in legal)


# ---------------------------------------------------------------------------------------------------------------- tests

SETTINGS = all_settings()
LEAVES = sorted(name for name, setting in SETTINGS.items() if not is_plain_group(setting.kind))


@pytest.mark.parametrize("name", LEAVES)
def test_no_setting_is_ignored(name: str) -> None:
    setting = SETTINGS[name]
    assert setting.path in WITHOUT_EFFECT or has_effect(setting) is not False


def test_every_kind_of_every_choice_is_varied() -> None:
    paths = {setting.path for setting in SETTINGS.values()}
    assert {
        "positions.theta",
        "positions.num_buckets",
        "positions.scaling.beta_fast",
        "norm.eps",
        "attention.query_key_norm.norm.eps",
    } <= paths
    assert {"heads.main.tied", "dropout.final", "embedding.scale", "initialization.gain"} <= paths


CONTEXTS = [("positions", kind) for kind in PositionsConfig.choices] + [("placement", name) for name in PLACEMENTS]


@pytest.mark.parametrize("other, value", CONTEXTS)
def test_no_setting_is_ignored_beside_another(other: str, value: str) -> None:
    """With each positional scheme and each placement: what does nothing there is on the reviewed list."""
    model = {**PLAIN, "kind": "decoder", other: value}
    config = build(ModelConfig, model)
    reviewed = {path: kind for path, kind in leaves(config).items() if path not in WITHOUT_EFFECT}
    ignored = {path for path, kind in reviewed.items() if has_effect(Setting(path, kind, model)) is False}
    conditional = {path for path, condition in MATTERS_WITH.items() if condition.other == other}
    assert ignored <= conditional
    assert not {path for path in ignored if value in MATTERS_WITH[path].values}


def test_conditions_are_needed() -> None:
    for path, condition in MATTERS_WITH.items():
        registry = PositionsConfig.choices if condition.other == "positions" else PLACEMENTS
        elsewhere = next(value for value in registry if value not in condition.values)
        model = {**PLAIN, "kind": "decoder", condition.other: elsewhere}
        config = build(ModelConfig, model)
        assert has_effect(Setting(path, leaves(config)[path], model)) is False


def leaves(config: Config, path: str = "") -> dict[str, Any]:
    """The type of every field that the config has, by its path; groups are entered, not listed."""
    found: dict[str, Any] = {}
    hints = typing.get_type_hints(type(config))
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if isinstance(value, Config):
            found |= leaves(value, f"{path}{field.name}.")
        if not isinstance(value, Config) or isinstance(value, Choice):
            found[f"{path}{field.name}"] = hints[field.name]
    return found


def test_a_setting_without_effect_is_caught() -> None:
    """ALiBi needs no table: there `max_length` does nothing, and the check says so."""
    model = {**PLAIN, "positions": "alibi"}
    assert has_effect(Setting("max_length", int, model)) is False
    assert has_effect(Setting("max_length", int, PLAIN)) is True
    assert has_effect(Setting("embedding.num_segments", int, {**PLAIN, "kind": "encoder_decoder"})) is None
