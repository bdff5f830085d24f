"""Norms equal their formulas, forward and backward; batch normalization leaves padding out."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers.models.gemma.modeling_gemma import GemmaRMSNorm

from tests.oracle import lifted
from zoo.checkpoint.model import load_model, save_model
from zoo.config import build
from zoo.errors import ConfigError
from zoo.models import Model, ModelConfig
from zoo.models.anatomy import empty_model
from zoo.models.create import create_model, model_config
from zoo.nn.init import BertInitializationConfig, initialize
from zoo.nn.norm import BatchNorm, LayerNormConfig, NormConfig, RMSNormConfig
from zoo.nn.padding import padding_aware, tell_padding

DIM = 6


def filled(norm: nn.Module) -> nn.Module:
    """The norm in float64 with weights that are neither 0 nor 1."""
    norm = norm.double()
    with torch.no_grad():
        for parameter in norm.parameters():
            parameter.normal_()
    return norm


def affine(normalized: Tensor, norm: nn.Module) -> Tensor:
    for name, apply in (("weight", torch.mul), ("bias", torch.add)):
        parameter = getattr(norm, name, None)
        normalized = normalized if parameter is None else apply(normalized, parameter)
    return normalized


def layer_norm(x: Tensor, norm: nn.Module, eps: float) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    return affine(centred / (centred.square().mean(-1, keepdim=True) + eps).sqrt(), norm)


def rms_norm(x: Tensor, norm: nn.Module, eps: float) -> Tensor:
    return affine(x / (x.square().mean(-1, keepdim=True) + eps).sqrt(), norm)


def offset_rms_norm(x: Tensor, norm: nn.Module, eps: float) -> Tensor:
    return x / (x.square().mean(-1, keepdim=True) + eps).sqrt() * (1 + norm.weight) + getattr(norm, "bias", 0.0)


def scale_norm(x: Tensor, norm: nn.Module, eps: float) -> Tensor:
    return DIM**0.5 * norm.weight * x / (x.square().sum(-1, keepdim=True) + DIM * eps).sqrt()


def l2_norm(x: Tensor, norm: nn.Module, eps: float) -> Tensor:
    return x / (x.square().sum(-1, keepdim=True) + eps).sqrt()


def batch_norm(x: Tensor, norm: nn.Module, eps: float) -> Tensor:
    rows = x.flatten(0, -2)
    return affine((x - rows.mean(0)) / (rows.var(0, unbiased=False) + eps).sqrt(), norm)


def dyt(x: Tensor, norm: nn.Module, eps: float) -> Tensor:
    return affine((norm.alpha * x).tanh(), norm)


BOTH = [{"affine": a, "bias": b} for a in (True, False) for b in (True, False)]
CASES: list[tuple[dict[str, Any], Callable[[Tensor, nn.Module, float], Tensor]]] = [
    *(({"kind": "layer_norm", **both}, layer_norm) for both in BOTH),
    *(({"kind": "rms_norm", **both}, rms_norm) for both in BOTH),
    ({"kind": "rms_norm", "offset": True, "bias": True}, offset_rms_norm),
    ({"kind": "scale_norm"}, scale_norm),
    ({"kind": "l2_norm"}, l2_norm),
    *(({"kind": "batch_norm", **both}, batch_norm) for both in BOTH),
    *(({"kind": "dyt", **both}, dyt) for both in BOTH),
    ({"kind": "none"}, lambda x, norm, eps: x),
]


def test_every_kind_has_a_formula_here() -> None:
    assert {settings["kind"] for settings, _ in CASES} == set(NormConfig.choices)


@pytest.mark.parametrize("eps", [1e-12, 1e-5, 0.1])
@pytest.mark.parametrize("settings, formula", CASES, ids=lambda case: str(case) if isinstance(case, dict) else "")
def test_formula(settings: dict[str, Any], formula: Callable[[Tensor, nn.Module, float], Tensor], eps: float) -> None:
    fields = NormConfig.choice(settings["kind"]).__dataclass_fields__
    config = build(NormConfig, {**settings, "eps": eps} if "eps" in fields else settings)
    norm = filled(config.build(DIM))
    wanted_parameters = {name for name in ("weight", "bias") if settings.get(name.replace("weight", "affine"))}
    if "affine" in settings:
        assert {name for name, _ in norm.named_parameters()} - {"alpha"} == wanted_parameters
    x = torch.randn(2, 3, DIM, dtype=torch.float64, requires_grad=True)
    expected = formula(x, norm, eps)
    torch.testing.assert_close(norm(x), expected, rtol=1e-12, atol=1e-12)
    direction = torch.randn_like(expected)
    wanted = torch.autograd.grad((expected * direction).sum(), [x, *norm.parameters()])
    found = torch.autograd.grad((norm(x) * direction).sum(), [x, *norm.parameters()])
    torch.testing.assert_close(found, wanted, rtol=1e-8, atol=1e-12)


def started(config: NormConfig, dim: int = DIM) -> nn.Module:
    norm = config.build(dim)
    initialize(norm, BertInitializationConfig(), seed=0)
    return norm


@pytest.mark.parametrize("kind", NormConfig.choices)
def test_every_norm(kind: str) -> None:
    norm = started(NormConfig.choice(kind)())
    x = torch.randn(4, 5, DIM) * 30
    y = norm(x)
    assert y.shape == x.shape
    assert norm(torch.zeros(2, DIM)).isfinite().all()
    assert copy.deepcopy(norm).bfloat16()(x.bfloat16()).isfinite().all()
    if kind in ("dyt", "none"):
        return
    torch.testing.assert_close(norm(x * 7), y, rtol=1e-3, atol=1e-3)  # scale is taken out
    over, size = (0, 1) if kind == "batch_norm" else (-1,), 1 / DIM if kind == "l2_norm" else 1.0
    mean_square = y.square().mean(over)
    torch.testing.assert_close(mean_square, torch.full_like(mean_square, size), rtol=1e-3, atol=1e-3)


def test_offset_starts_as_a_plain_rms_norm() -> None:
    plain, offset = started(RMSNormConfig()), started(RMSNormConfig(offset=True))
    x = torch.randn(3, DIM)
    assert torch.equal(offset(x), plain(x))
    assert (offset.weight == 0).all()


def test_offset_is_gemmas() -> None:
    ours = filled(RMSNormConfig(eps=1e-6, offset=True).build(DIM))
    with lifted():
        theirs = GemmaRMSNorm(DIM, eps=1e-6)
        theirs.weight.data = ours.weight.data
        x = torch.randn(2, 3, DIM)
        torch.testing.assert_close(ours(x), theirs(x), rtol=1e-12, atol=1e-12)


def test_an_offset_needs_a_weight() -> None:
    with pytest.raises(ConfigError, match=r"offset: .*affine=false"):
        RMSNormConfig(offset=True, affine=False)


def test_alpha_starts_where_it_is_told() -> None:
    for alpha in (0.5, 0.2):
        norm = started(build(NormConfig, {"kind": "dyt", "alpha": alpha}))
        x = torch.randn(3, DIM)
        torch.testing.assert_close(norm(x), (alpha * x).tanh())


def test_rms_norm_is_layer_norm_of_what_has_mean_zero() -> None:
    x = torch.randn(3, DIM)
    x = x - x.mean(-1, keepdim=True)
    rms, layer = started(RMSNormConfig(eps=1e-5)), started(LayerNormConfig(eps=1e-5, bias=False))
    torch.testing.assert_close(rms(x), layer(x))


# ---------------------------------------------------------------------------------------------------------- batch norm

DOCUMENTS = torch.tensor([[0, 0, 1, -1], [3, -1, -1, -1]])


def batch(**settings: Any) -> BatchNorm:
    norm = filled(build(NormConfig, {"kind": "batch_norm", **settings}).build(DIM))
    assert isinstance(norm, BatchNorm)
    return norm


def test_batch_norm_is_torchs_on_the_real_tokens() -> None:
    norm = batch(momentum=0.3)
    oracle = nn.BatchNorm1d(DIM, momentum=0.3).double()
    oracle.weight, oracle.bias = norm.weight, norm.bias
    tell_padding([norm], DOCUMENTS)
    for _ in range(3):
        x = torch.randn(2, 4, DIM, dtype=torch.float64)
        torch.testing.assert_close(norm(x)[DOCUMENTS >= 0], oracle(x[DOCUMENTS >= 0]))
    torch.testing.assert_close(norm.running_mean, oracle.running_mean)
    torch.testing.assert_close(norm.running_variance, oracle.running_var)
    x = torch.randn(5, DIM, dtype=torch.float64)
    torch.testing.assert_close(norm.eval()(x), oracle.eval()(x))


def test_what_stands_on_padding_changes_nothing() -> None:
    norm = batch()
    tell_padding([norm], DOCUMENTS)
    x = torch.randn(2, 4, DIM, dtype=torch.float64)
    other = torch.where((DOCUMENTS >= 0)[..., None], x, 1e6)
    assert torch.equal(norm(x)[DOCUMENTS >= 0], norm(other)[DOCUMENTS >= 0])


def test_a_batch_of_padding_leaves_the_running_statistics() -> None:
    norm = batch()
    tell_padding([norm], torch.full((1, 2), -1))
    assert norm(torch.randn(1, 2, DIM, dtype=torch.float64)).isfinite().all()
    assert (norm.running_mean == 0).all()
    assert (norm.running_variance == 1).all()


def model(family: str, **changes: Any) -> Model:
    settings = {
        "kind": family,
        "dim": 8,
        "num_layers": 2,
        "num_heads": 2,
        "vocab_size": 11,
        "norm": "batch_norm",
        "embedding": {"norm": True},
        "heads": {"language_model": {"kind": "language_model", "transform": "gelu"}},
        "initialization": {"kind": "xavier", "gain": 2.0},
    }
    return create_model(settings, **changes).double()


def inputs(family: str, padding: int = 0) -> dict[str, Tensor]:
    """Two rows, as many places of padding behind them as asked for."""
    side = {"tokens": torch.arange(10).reshape(2, 5) % 11, "documents": torch.zeros(2, 5, dtype=torch.int64)}
    fills = {"tokens": 3, "documents": -1}
    side = {name: nn.functional.pad(values, (0, padding), value=fills[name]) for name, values in side.items()}
    both = side | {f"decoder_{name}": values for name, values in side.items()}
    return both if family == "encoder_decoder" else side


@pytest.mark.parametrize("family", ModelConfig.choices)
def test_training_leaves_padding_out_everywhere(family: str) -> None:
    """In the embedding, the stacks and the heads: more padding changes neither logits nor running statistics."""
    plain, padded = model(family), model(family)
    assert len(padding_aware(plain)) >= 4
    logits = plain(**inputs(family))["language_model"]
    torch.testing.assert_close(padded(**inputs(family, padding=3))["language_model"][:, :5], logits)
    for name, buffer in plain.named_buffers():
        torch.testing.assert_close(padded.get_buffer(name), buffer)


@pytest.mark.parametrize("family", ModelConfig.choices)
def test_packing_changes_nothing_in_training(family: str) -> None:
    """The statistics are over the same tokens, in one row or in two."""
    settings = {"positions": "rotary"}
    apart, packed = model(family, **settings), model(family, **settings)
    two = inputs(family)
    one = {name: values.reshape(1, -1) for name, values in two.items()}
    for prefix in ("", "decoder_") if family == "encoder_decoder" else ("",):
        one[f"{prefix}documents"] = torch.tensor([[0] * 5 + [1] * 5])
        one[f"{prefix}positions"] = torch.arange(5).repeat(2)[None]
    logits = apart(**two)["language_model"]
    torch.testing.assert_close(packed(**one)["language_model"].reshape(logits.shape), logits)


def test_rows_are_mixed_in_training_only_and_the_future_leaks() -> None:
    causal = model("decoder")
    tokens = torch.tensor([[1, 2, 3], [4, 5, 6]])
    other = torch.tensor([[1, 2, 3], [4, 5, 9]])
    trained = [causal.train().backbone(tokens=rows) for rows in (tokens, other)]
    assert (trained[0][0] - trained[1][0]).abs().max() > 1e-3  # another row
    assert (trained[0][1, :2] - trained[1][1, :2]).abs().max() > 1e-3  # the future
    told = [causal.eval().backbone(tokens=rows) for rows in (tokens, other)]
    torch.testing.assert_close(told[0][0], told[1][0])
    torch.testing.assert_close(told[0][1, :2], told[1][1, :2])


def test_running_statistics_are_saved_and_loaded(tmp_path: Path) -> None:
    saved = model("decoder")
    saved(**inputs("decoder"))
    assert all((buffer != 0).any() for name, buffer in saved.named_buffers() if name.endswith("running_mean"))
    save_model(saved, None, tmp_path / "model")
    loaded, _ = load_model(tmp_path / "model")  # built on the meta device
    assert saved.state_dict().keys() == loaded.state_dict().keys()
    for name, tensor in saved.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor)


def test_what_mixes_rows_is_listed() -> None:
    settings = {"kind": "decoder", "norm": "batch_norm", "layers": {"1": {"norm": "layer_norm"}}}
    assert list(model_config(settings).parts_that_mix_rows()) == ["norm"]
    settings = {"kind": "decoder", "layers": {"1": {"norm": "batch_norm"}}}
    assert list(model_config(settings).parts_that_mix_rows()) == ["layers.1.norm"]
    assert model_config({"kind": "decoder"}).parts_that_mix_rows() == {}


def test_a_norm_that_stands_nowhere_mixes_nothing() -> None:
    """`placement: none` builds no norm in the stack; the embedding, a head or a layer of its own may still have one."""
    size = {"vocab_size": 9, "dim": 8, "num_heads": 2, "num_layers": 2}
    bare = {"kind": "decoder", "norm": "batch_norm", "placement": "none", **size}
    transform = {"kind": "language_model", "transform": "gelu"}
    cases: dict[str, tuple[dict[str, Any], bool]] = {
        "bare": ({}, False),
        "embedding": ({"embedding": {"norm": True}}, True),
        "head": ({"heads": {"language_model": transform}}, True),
        "layer": ({"layers": {"1": {"placement": "post"}}}, True),
        "other norm": ({"layers": {"1": {"placement": "post", "norm": "layer_norm"}}}, False),
    }
    for settings, mixes in cases.values():
        config = model_config({**bare, **settings})
        built = [part for part in empty_model(config).modules() if isinstance(part, BatchNorm)]
        assert bool(built) == mixes
        assert bool(config.parts_that_mix_rows()) == mixes
        assert bool(config.leaks()) == mixes


def test_queries_and_keys_cannot_be_batch_normalized() -> None:
    with pytest.raises(ConfigError, match=r"attention.query_key_norm.norm: 'batch_norm' normalizes by"):
        model_config({"kind": "decoder", "attention": {"query_key_norm": {"norm": "batch_norm"}}})


@pytest.mark.parametrize("kind", sorted(set(NormConfig.choices) - {"batch_norm", "none"}))
def test_queries_and_keys_take_every_other(kind: str) -> None:
    found = model("decoder", norm="layer_norm", attention={"query_key_norm": {"norm": kind}})(**inputs("decoder"))
    assert found["language_model"].isfinite().all()
