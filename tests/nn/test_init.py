"""Initializations fill every weight with the variance that their scheme says, from numbers of each weight's own."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch

from zoo.config import build
from zoo.errors import ConfigError
from zoo.models import Model
from zoo.models.create import create_model, model_config
from zoo.nn.differential import DifferentialHeads
from zoo.nn.init import (
    RESIDUAL_OUTPUTS,
    TABLES,
    BertInitializationConfig,
    GPT2InitializationConfig,
    InitializationConfig,
    MuPInitializationConfig,
    T5InitializationConfig,
    XavierInitializationConfig,
    deepnorm_beta,
    initialize,
)
from zoo.nn.linear import Depth, Embedding, Linear, Role, Site
from zoo.training.optimizers import AdamWConfig

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
MUP: dict[str, Any] = {
    "attention": {"scale": "inverse"},
    "heads": {"language_model": {"tied": False}},
    "initialization": "mup",
}
"""What muP needs besides."""
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


# ------------------------------------------------------------------------------------- every weight of a whole model


class Weight(NamedTuple):
    """A weight, by what the papers' formulas speak of: its fans, the width, and the depth around it."""

    role: Role
    fan_in: int
    fan_out: int
    depth: Depth
    head_dim: int

    @property
    def is_table(self) -> bool:
        return self.role in TABLES


def depth_scaled(weight: Weight, branches: int) -> float:
    return 1 / branches if weight.role in RESIDUAL_OUTPUTS else 1.0


def branches(weight: Weight) -> int:
    return (3 if weight.depth.in_decoder and weight.depth.encoder_layers else 2) * weight.depth.num_layers


def glorot(weight: Weight) -> float:
    return 2 / (weight.fan_in + weight.fan_out)


def t5_variance(weight: Weight) -> float:
    if weight.role == "relative_bias":
        return glorot(weight)
    if weight.is_table:
        return 1.0
    return 1 / (weight.fan_in * (weight.head_dim if weight.role == "query" else 1))


def deepnorm_variance(weight: Weight) -> float:
    if weight.is_table:
        return 1 / weight.fan_in
    with_gain = {"value", "attention_output", "feed_forward_input", "feed_forward_gate", "feed_forward_output"}
    return glorot(weight) * (deepnorm_beta(weight.depth) ** 2 if weight.role in with_gain else 1.0)


def mup_variance(weight: Weight) -> float:
    if weight.is_table:
        return 0.02**2
    return 0.02**2 * (128 / weight.fan_in) ** (2 if weight.role in ("head_output", "router") else 1)


def small_width(weight: Weight) -> int:
    return weight.fan_in if weight.is_table or weight.role == "embedding_projection" else DIM


DIM = 96
VARIANCES: dict[str, Callable[[Weight], float]] = {
    "bert": lambda weight: (0.02 * CUT_AT_TWO) ** 2,
    "gpt2": lambda weight: 0.02**2 * depth_scaled(weight, branches(weight)),
    "t5": t5_variance,
    "xavier": lambda weight: 1 / weight.fan_in if weight.is_table else glorot(weight),
    "small": lambda weight: 2 / (5 * small_width(weight)),
    "megatron": lambda weight: depth_scaled(weight, 2 * weight.depth.num_layers) / (3 * small_width(weight)),
    "deepnorm": deepnorm_variance,
    "mup": mup_variance,
}
"""By kind: the variance of a weight, as the papers have it, at the default settings."""
MODELS: dict[str, dict[str, Any]] = {
    "decoder": {"kind": "decoder", "positions": "learned", "embedding": {"num_segments": 40}},
    "encoder_decoder": {
        "kind": "encoder_decoder",
        "decoder": {"num_layers": 2},
        "positions": "relative",
        "feed_forward": "mixture",
        "embedding": {"factorization": {"dim": 64}},
    },
    "latent": {
        "kind": "encoder",
        "num_kv_heads": None,
        "attention": {"kind": "latent", "query_rank": 48, "key_value_rank": 64, "scale": "inverse"},
    },
}


def test_every_kind_has_its_variances_here() -> None:
    assert set(VARIANCES) == set(InitializationConfig.choices)


def small_model(family: str, kind: str) -> Model:
    settings = {
        "dim": DIM,
        "num_layers": 3,
        "num_heads": 16,
        "head_dim": 12,
        "num_kv_heads": 8,
        "feed_forward_dim": 160,
        "max_length": 80,
        "vocab_size": 200,
        "feed_forward": "gated",
        "attention": {"scale": "inverse", "gate": "element"},
        "heads": {"language_model": {"kind": "language_model", "tied": False, "transform": "gelu"}},
        **MODELS[family],
    }
    return create_model(settings, initialization=kind)


@pytest.mark.parametrize("family", MODELS)
@pytest.mark.parametrize("kind", VARIANCES)
def test_variance_of_every_weight(kind: str, family: str) -> None:
    for name, part in small_model(family, kind).named_modules():
        if isinstance(part, Linear | Embedding):
            weight, site = part.weight.detach(), part.site
            fan_out, fan_in = weight.shape
            expected = VARIANCES[kind](Weight(site.role, fan_in, fan_out, site.depth, site.head_dim))
            # The variance of n normal numbers is known to √(2 / n), that of cut or uniform ones to less.
            assert weight.var().item() == pytest.approx(expected, rel=5 * math.sqrt(2 / weight.numel())), name
            assert abs(weight.mean()) < 5 * math.sqrt(expected / weight.numel()), name


def test_the_variances_are_of_every_role() -> None:
    parts = [part for family in MODELS for part in small_model(family, "bert").modules()]
    assert {part.site.role for part in parts if isinstance(part, Linear | Embedding)} == set(ROLES)


@pytest.mark.parametrize(
    "depth, beta",
    [  # the formulas of figure 2, worked out by hand
        (Depth(2, 0), 0.5),
        (Depth(0, 2, True), 0.5),
        (Depth(1, 1), 0.87),
        (Depth(16, 1), 0.87 / 2),
        (Depth(1, 65536), 0.87 / 2),
        (Depth(7, 108, True), 1 / 6),
        (Depth(), 1.0),
    ],
)
def test_deepnorm_beta(depth: Depth, beta: float) -> None:
    assert deepnorm_beta(depth) == pytest.approx(beta)


@pytest.mark.parametrize(
    "settings, role, std",
    [
        ({"kind": "megatron", "std": 0.1}, "query", 0.1),
        ({"kind": "megatron", "std": 0.1}, "attention_output", 0.1 / math.sqrt(12)),
        ({"kind": "deepnorm", "beta": 0.5}, "value", GLOROT / 2),
        ({"kind": "mup", "std": 0.3, "base_dim": 50}, "query", 0.3 * 0.5),
        ({"kind": "mup", "std": 0.3, "base_dim": 50}, "head_output", 0.3 * 0.25),
        ({"kind": "mup", "std": 0.3, "base_dim": 50}, "token_embedding", 0.3),
    ],
)
def test_settings_act(settings: dict[str, Any], role: Role, std: float) -> None:
    assert std_of(build(InitializationConfig, settings), Site(role, Depth(6), HEAD)) == pytest.approx(std, rel=0.02)


@pytest.mark.parametrize("kind", InitializationConfig.choices)
def test_zero_output(kind: str) -> None:
    """What writes into the stream starts at zero, everything else as it does without."""
    needed = {name: value for name, value in MUP.items() if name != "initialization"}
    plain, zero = (
        dict(create_model(WIDE, **needed, initialization={"kind": kind, "zero_output": value}).named_parameters())
        for value in (False, True)
    )
    outputs = [name for name in plain if name.endswith("sublayer.output.weight")]
    assert len(outputs) == 6
    for name, weight in zero.items():
        assert torch.equal(weight, torch.zeros_like(weight) if name in outputs else plain[name])


# ---------------------------------------------------------------------------------------------------------------- muP


@pytest.mark.parametrize(
    "change, message",
    [
        ({"attention": {"scale": "inverse_sqrt"}}, r"attention.scale=inverse_sqrt \(.*set attention.scale=inverse\)$"),
        ({"attention": {"scale": "learned"}}, r"attention.scale=learned \("),
        (
            {"layers": {"1:": {"attention": {"scale": "learned"}}}},
            r"layers.1.attention.scale=learned \([^=]*=inverse\)$",
        ),
        ({"heads": {"language_model": {"tied": True}}}, r"heads.language_model.tied=true \(.*set false\)$"),
        ({"heads": {"language_model": {"scale": "inverse_sqrt_dim"}}}, r"model.scale=inverse_sqrt_dim \(.*set none\)$"),
        ({"embedding": {"scale": "sqrt_dim"}}, r"embedding.scale=sqrt_dim \(.*set none\)$"),
        ({"norm": "l2_norm"}, r"norm=l2_norm \(.*set scale_norm or another norm\)$"),
        ({"attention": {"query_key_norm": {"norm": "l2_norm"}}}, r"attention.query_key_norm.norm=l2_norm \(.*norm\)$"),
        ({"attention": {"differential": {}}}, r"attention.differential={} \(.* grows with head_dim; set null\)$"),
        (
            {"num_kv_heads": None, "attention": {"kind": "latent", "scale": "inverse", "latent_norm": "l2_norm"}},
            r"attention.latent_norm=l2_norm \(.*set scale_norm or another norm\)$",
        ),
        (
            {"layers": {"1:": {"attention": {"query_key_norm": {"norm": "l2_norm"}}}}},
            r"layers.1.attention.query_key_norm.norm=l2_norm \([^=]*another norm\)$",
        ),
        ({"norm": "l2_norm", "embedding": {"scale": "sqrt_dim"}}, r"norm=l2_norm .*; embedding.scale=sqrt_dim"),
    ],
)
def test_mup_refuses_what_scales_with_the_width(change: dict[str, Any], message: str) -> None:
    base = model_config(WIDE, **MUP)
    with pytest.raises(ConfigError, match=f"^initialization: 'mup' does not go with .*{message}"):
        model_config(base, **change)


@pytest.mark.parametrize("head_dim", [16, 49, 98])
def test_mup_takes_its_own_scale_at_every_width(head_dim: int) -> None:
    """1/49 · 49 is not 1 in floating point."""
    assert model_config(WIDE, **MUP, head_dim=head_dim).attention.scale.kind == "inverse"


def sizes(width: int, num_heads: int | None, steps: int, **settings: Any) -> dict[str, float]:
    """Mean size of what each part gives, of the logits, of the scores and of what changed about λ, after some steps.

    The steps are Adam's at one learning rate; the scores are those of each place with itself.
    """
    shape = {"dim": width, "num_layers": 2, "num_heads": num_heads or width // 8, "max_length": 16, "vocab_size": 32}
    heads = {"language_model": {"kind": "language_model", "tied": False}}
    model = create_model({"kind": "decoder", **shape, "heads": heads, "positions": "rotary"}, **settings)
    optimizer = AdamWConfig(learning_rate=0.01).build(model, model.config.initialization)
    tokens = torch.randint(32, (4, 16), generator=torch.Generator().manual_seed(0))
    block = model.backbone.get_submodule("stack.blocks.1")
    attention = block.get_submodule("self_attention.sublayer")
    pairs = attention.get_submodule("heads")
    start = pairs.factor() if isinstance(pairs, DifferentialHeads) else torch.zeros(())
    for _ in range(steps):
        logits = model(tokens=tokens)["language_model"]
        torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten()).backward()
        optimizer.step()
        optimizer.zero_grad()
    found: dict[str, float] = {}
    for name, part in {"attention": attention, "feed": block.get_submodule("feed_forward.sublayer")}.items():
        part.register_forward_hook(
            lambda module, inputs, output, name=name: found.update({name: output.abs().mean().item()})
        )

    def see_scores(module: torch.nn.Module, inputs: tuple[Any, ...]) -> None:
        _, q_BHTK, k_BHTK, _, _, scoring = inputs
        found["scores"] = (scoring.scale * (q_BHTK * k_BHTK).sum(-1)).abs().mean().item()

    pairs.register_forward_pre_hook(see_scores)
    found["logits"] = model(tokens=tokens)["language_model"].abs().mean().item()
    if isinstance(pairs, DifferentialHeads):
        found["lambda"] = (pairs.factor() - start).abs().item()
    return found


def growth(num_heads: int | None, steps: int, **settings: Any) -> dict[str, float]:
    """What is eight times as wide over what is narrow: in heads of 8 each, or in so many heads, eight times as wide."""
    narrow, wide = (sizes(width, num_heads, steps, **settings) for width in (64, 512))
    return {part: wide[part] / narrow[part] for part in narrow}


@pytest.mark.parametrize("num_heads", [None, 4])
def test_coordinate_check(num_heads: int | None) -> None:
    """Activations after some steps keep their order of magnitude over widths with muP, and grow without it."""
    parts = ("attention", "feed", "logits")
    mup = growth(num_heads, 4, attention=MUP["attention"], initialization="mup")
    assert all(1 / 2 < mup[part] < 2 for part in parts), mup
    standard = growth(num_heads, 4, initialization="gpt2")
    assert all(standard[part] > 3 for part in parts), standard


SAME: dict[str, Any] = {"shared_query_key": True}
"""Queries and keys that align from the start, as others come to in training."""
LATENT: dict[str, Any] = {"kind": "latent", "scale": "inverse"}


class Drift(NamedTuple):
    """What grows or shrinks with the width, after how many steps, by which attention, and by which it does not."""

    part: str
    steps: int
    refused: dict[str, Any]
    accepted: dict[str, Any]


DRIFTS = {
    "scale": Drift("scores", 0, {"scale": "inverse_sqrt", **SAME}, {"scale": "inverse", **SAME}),
    "query_key_norm": Drift(
        "scores",
        2,
        {"scale": "inverse", **SAME, "query_key_norm": {"norm": "l2_norm"}},
        {"scale": "inverse", **SAME, "query_key_norm": {"norm": "scale_norm"}},
    ),
    "latent_norm": Drift("attention", 2, {**LATENT, "latent_norm": "l2_norm"}, {**LATENT, "latent_norm": "scale_norm"}),
    "differential": Drift(
        "lambda", 2, {"scale": "inverse", "differential": {}}, {"scale": "inverse", "differential": None}
    ),
}
"""By the setting of attention that muP refuses."""


@pytest.mark.parametrize("setting", DRIFTS)
def test_what_mup_refuses_drifts_with_the_width(setting: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where heads widen; and what it says to set instead does not."""
    part, steps, refused, accepted = DRIFTS[setting]
    kept = growth(4, steps, attention=accepted, initialization="mup")
    assert 1 / 2 < kept.get(part, 1.0) < 2, kept
    with pytest.raises(ConfigError, match=rf"attention\.{setting}"):
        growth(4, steps, attention=refused, initialization="mup")
    monkeypatch.setattr(MuPInitializationConfig, "check", lambda config, entries: None)
    drifted = growth(4, steps, attention=refused, initialization="mup")
    assert not 0.4 < drifted[part] < 2.5, drifted


# ------------------------------------------------------------------------------------------------------ whole models


@pytest.mark.parametrize("kind", InitializationConfig.choices)
@pytest.mark.parametrize("positions", ["learned", "relative"])
def test_every_parameter_is_filled(kind: str, positions: str) -> None:
    needed = MUP if kind == "mup" else {}
    config = model_config(WIDE, **{**needed, "initialization": kind}, positions=positions)
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
        create_model(WIDE, **{**MUP, "initialization": kind})
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
