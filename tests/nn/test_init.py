"""Initializations fill every weight with the variance that their scheme says, from numbers of each weight's own."""

import math
from typing import Any

import pytest
import torch

from zoo.models.create import create_model, model_config
from zoo.nn.init import (
    BertInitializationConfig,
    GPT2InitializationConfig,
    InitializationConfig,
    T5InitializationConfig,
    XavierInitializationConfig,
    initialize,
)
from zoo.nn.linear import Depth, Role, Site

WIDE: dict[str, Any] = {
    "kind": "decoder",
    "dim": 128,
    "num_layers": 3,
    "num_heads": 4,
    "num_kv_heads": 2,
    "head_dim": 64,
    "feed_forward_dim": 320,
    "max_length": 96,
    "vocab_size": 200,
    "embedding": {"num_segments": 8, "norm": True, "padding_token": 3},
    "heads": {"language_model": {"kind": "language_model", "tied": False, "bias": True, "transform": "gelu"}},
    "feed_forward": {"kind": "gated"},
}
ROLES: tuple[Role, ...] = Role.__args__  # type: ignore[attr-defined]


def drawn(config: InitializationConfig, site: Site, shape: tuple[int, int] = (300, 200)) -> torch.Tensor:
    weight = torch.full(shape, math.nan)
    config.fill(weight, site, torch.Generator().manual_seed(0))
    assert weight.isfinite().all()
    return weight


def std_of(config: InitializationConfig, site: Site, shape: tuple[int, int] = (300, 200)) -> float:
    weight = drawn(config, site, shape)
    assert abs(weight.mean()) < 5 * weight.std() / math.sqrt(weight.numel())
    return weight.std().item()


# ------------------------------------------------------------------------------------------------------------ variances

CUT_AT_TWO = 0.8796  # std of a standard normal cut off at ±2: √(1 − 4 φ(2) / (2 Φ(2) − 1))
OUT, IN, HEAD = 300, 200, 16
GLOROT = math.sqrt(2 / (OUT + IN))


@pytest.mark.parametrize("role", ROLES)
def test_bert(role: Role) -> None:
    site = Site(role, Depth(6), HEAD)
    assert std_of(BertInitializationConfig(std=0.02), site) == pytest.approx(0.02 * CUT_AT_TWO, rel=0.02)
    assert drawn(BertInitializationConfig(std=0.1), site).abs().max() <= 0.2


@pytest.mark.parametrize("role", ROLES)
def test_gpt2(role: Role) -> None:
    expected = {
        "attention_output": 0.02 / math.sqrt(12),
        "feed_forward_output": 0.02 / math.sqrt(12),
        "position_embedding": 0.01,
    }.get(role, 0.02)
    config = GPT2InitializationConfig(std=0.02, position_std=0.01)
    assert std_of(config, Site(role, Depth(6), HEAD)) == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("role", ROLES)
def test_t5(role: Role) -> None:
    expected = {
        "query": 1 / math.sqrt(IN * HEAD),
        "token_embedding": 1.0,
        "segment_embedding": 1.0,
        "position_embedding": 1.0,
        "relative_bias": GLOROT,
    }.get(role, 1 / math.sqrt(IN))
    assert std_of(T5InitializationConfig(), Site(role, Depth(6), HEAD)) == pytest.approx(expected, rel=0.02)
    assert std_of(T5InitializationConfig(factor=3.0), Site(role, Depth(6), HEAD)) == pytest.approx(
        3 * expected, rel=0.02
    )


@pytest.mark.parametrize("role", ROLES)
def test_xavier(role: Role) -> None:
    table = role.endswith("embedding") or role == "relative_bias"
    expected = 1 / math.sqrt(IN) if table else GLOROT
    site = Site(role, Depth(6), HEAD)
    assert std_of(XavierInitializationConfig(), site) == pytest.approx(expected, rel=0.02)
    assert std_of(XavierInitializationConfig(gain=0.5), site) == pytest.approx(expected / 2, rel=0.02)
    if not table:
        assert drawn(XavierInitializationConfig(), site).abs().max() <= math.sqrt(3) * GLOROT


def test_depth_counts_branches_of_the_whole_stack() -> None:
    """GPT-2's 1/√(2 · layers), and 1/√(3 · layers) where each layer also attends to a memory."""
    settings = {**WIDE, "kind": "encoder_decoder", "embedding": {}, "initialization": "gpt2"}
    weights = dict(create_model(settings).named_parameters())
    for side, branches in (("encoder", 6), ("decoder", 9)):
        for name in ("self_attention", "feed_forward"):
            weight = weights[f"backbone.{side}.blocks.1.{name}.sublayer.output.weight"]
            assert weight.std().item() == pytest.approx(0.02 / math.sqrt(branches), rel=0.03)


# ------------------------------------------------------------------------------------------------------ whole models


@pytest.mark.parametrize("kind", InitializationConfig.choices)
@pytest.mark.parametrize("positions", ["learned", "relative"])
def test_every_parameter_is_filled(kind: str, positions: str) -> None:
    config = model_config(WIDE, initialization=kind, positions=positions)
    model = config.build_unset()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(math.nan)
    initialize(model, config.initialization, seed=0)
    for name, parameter in model.named_parameters():
        assert parameter.isfinite().all(), name
        if name.endswith("bias") and "table" not in name:
            assert (parameter == 0).all(), name
        elif "norm" in name or ".before." in name:
            assert (parameter == 1).all(), name
        else:
            assert parameter.std() > 0, name


def test_padding_row_starts_at_zero() -> None:
    table = create_model(WIDE).backbone.tokens.weight
    assert (table[3] == 0).all()
    assert (table[:3].abs().sum(-1) > 0).all()


def step(tied: bool, **embedding: Any) -> torch.Tensor:
    """The token table after an optimizer step on rows that hold the padding token."""
    heads = {"language_model": {"kind": "language_model", "tied": tied}}
    model = create_model(WIDE, heads=heads, embedding=embedding)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    tokens = torch.arange(10)[None]
    model(tokens=tokens)["language_model"].logsumexp(-1).sum().backward()
    optimizer.step()
    return model.backbone.tokens.weight


def test_padding_row_stays_zero() -> None:
    assert (step(tied=False, padding_token=3)[3] == 0).all()
    assert (step(tied=False, padding_token=None)[3] != 0).all()


def test_a_tied_output_layer_trains_the_padding_row() -> None:
    """As in the released models: the row is the padding token's output weight too."""
    assert (step(tied=True, padding_token=3)[3] != 0).all()


def test_the_global_stream_is_untouched() -> None:
    for kind in InitializationConfig.choices:
        state = torch.get_rng_state()
        create_model(WIDE, initialization=kind)
        assert torch.equal(torch.get_rng_state(), state)


def test_seeds() -> None:
    one, same, other = (dict(create_model(WIDE, seed=seed).named_parameters()) for seed in (5, 5, 6))
    for name, parameter in one.items():
        assert torch.equal(parameter, same[name])
        assert torch.equal(parameter, other[name]) == (parameter.std().item() == 0), name


def test_no_two_weights_are_drawn_alike() -> None:
    weights = [p.flatten()[:50] for p in create_model(WIDE).parameters() if p.std() > 0]
    together = torch.corrcoef(torch.stack([weight for weight in weights if len(weight) == 50]))
    assert (together - torch.eye(len(together))).abs().max() < 0.7


CHANGES: list[dict[str, Any]] = [
    {"positions": "relative"},
    {"positions": "rotary"},
    {"feed_forward": "plain"},
    {"norm": "rms_norm"},
    {"placement": "sandwich"},
    {"num_kv_heads": None},
    {"num_layers": 5},
    {"vocab_size": 201},
    {"heads": {"language_model": {"tied": True}}},
    {"embedding": {"num_segments": 0}},
    {"attention": {"query_key_norm": {"norm": "rms_norm"}, "kernel": "reference"}},
]


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_changing_one_part_leaves_other_weights_as_they_were(change: dict[str, Any]) -> None:
    before, after = (dict(create_model(WIDE, seed=1, **c).named_parameters()) for c in ({}, change))
    shared = [name for name in before if name in after and before[name].shape == after[name].shape]
    assert len(shared) > 10
    assert set(before) != set(after) or len(shared) < len(before)
    assert all(torch.equal(before[name], after[name]) for name in shared)


def test_precision_does_not_change_the_draw() -> None:
    config = model_config(WIDE)
    exact = config.build_unset().double()
    initialize(exact, config.initialization, seed=0)
    for name, parameter in config.build(seed=0).named_parameters():
        assert torch.equal(parameter.double(), exact.get_parameter(name))
