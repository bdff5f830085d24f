"""Scaled frequencies equal those of transformers, and do what the papers say."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import LlamaConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from tests.oracle import lifted
from zoo.config import build
from zoo.errors import ConfigError
from zoo.models.create import model_config
from zoo.nn.positions.rotary_scaling import RotaryScalingConfig, RotaryShape

HEAD_DIM, THETA, ORIGINAL, LONGEST = 32, 500.0, 512, 4096
SHORT, LONG = [1.0 + n / 10 for n in range(16)], [1.0 + n * n / 3 for n in range(16)]
SHAPE = RotaryShape(THETA, HEAD_DIM, LONGEST)
F64 = torch.float64
BEFORE = {"original_max_position_embeddings": ORIGINAL}

# (ours, the foreign rope_parameters, the longest row); the values differ from every default
CASES: dict[str, tuple[dict[str, Any], dict[str, Any], int]] = {
    "linear": ({"kind": "linear", "factor": 3.0}, {"rope_type": "linear", "factor": 3.0}, LONGEST),
    "yarn": (
        {"kind": "yarn", "factor": 6.0, "original_length": ORIGINAL},
        {"rope_type": "yarn", "factor": 6.0, **BEFORE},
        LONGEST,
    ),
    "yarn, other borders": (
        {"kind": "yarn", "factor": 6.0, "original_length": ORIGINAL, "beta_fast": 20.0, "beta_slow": 3.0},
        {"rope_type": "yarn", "factor": 6.0, "beta_fast": 20.0, "beta_slow": 3.0, **BEFORE},
        LONGEST,
    ),
    "yarn, borders between pairs": (
        {"kind": "yarn", "factor": 6.0, "original_length": ORIGINAL, "truncate": False},
        {"rope_type": "yarn", "factor": 6.0, "truncate": False, **BEFORE},
        LONGEST,
    ),
    "yarn, borders the wrong way round": (
        {"kind": "yarn", "factor": 6.0, "original_length": 6, "truncate": False},
        {"rope_type": "yarn", "factor": 6.0, "truncate": False, "original_max_position_embeddings": 6},
        LONGEST,
    ),
    "yarn, factor on the tables": (
        {"kind": "yarn", "factor": 6.0, "original_length": ORIGINAL, "attention_factor": 1.3},
        {"rope_type": "yarn", "factor": 6.0, "attention_factor": 1.3, **BEFORE},
        LONGEST,
    ),
    "yarn of DeepSeek": (
        {"kind": "yarn", "factor": 6.0, "original_length": ORIGINAL, "mscale": 1.2, "mscale_all_dim": 0.7},
        {"rope_type": "yarn", "factor": 6.0, "mscale": 1.2, "mscale_all_dim": 0.7, **BEFORE},
        LONGEST,
    ),
    "llama3": (
        {
            "kind": "llama3",
            "factor": 6.0,
            "low_frequency_factor": 2.0,
            "high_frequency_factor": 9.0,
            "original_length": ORIGINAL,
        },
        {"rope_type": "llama3", "factor": 6.0, "low_freq_factor": 2.0, "high_freq_factor": 9.0, **BEFORE},
        LONGEST,
    ),
    "longrope, long": (
        {"kind": "longrope", "short_factor": SHORT, "long_factor": LONG, "original_length": ORIGINAL},
        {"rope_type": "longrope", "short_factor": SHORT, "long_factor": LONG, **BEFORE},
        LONGEST,
    ),
    "longrope, short": (
        {"kind": "longrope", "short_factor": SHORT, "long_factor": LONG, "original_length": ORIGINAL},
        {"rope_type": "longrope", "short_factor": SHORT, "long_factor": LONG, **BEFORE},
        ORIGINAL,
    ),
    "longrope, factor on the tables": (
        {
            "kind": "longrope",
            "short_factor": SHORT,
            "long_factor": LONG,
            "original_length": ORIGINAL,
            "attention_factor": 1.3,
        },
        {"rope_type": "longrope", "short_factor": SHORT, "long_factor": LONG, "attention_factor": 1.3, **BEFORE},
        LONGEST,
    ),
}


def scaling(settings: dict[str, Any]) -> RotaryScalingConfig:
    config = build(RotaryScalingConfig, settings)
    assert isinstance(config, RotaryScalingConfig)
    return config


def frequencies(settings: dict[str, Any], shape: RotaryShape) -> Tensor:
    exact = torch.tensor([shape.theta ** (-2 * pair / shape.width) for pair in range(shape.width // 2)], dtype=F64)
    return scaling(settings).frequencies(shape, exact)


def foreign(parameters: dict[str, Any], longest: int, width: int = HEAD_DIM, **call: Any) -> tuple[Tensor, float]:
    """Inverse frequencies and attention factor of transformers, lifted to float64."""
    config = LlamaConfig(
        hidden_size=64,
        num_attention_heads=2,
        head_dim=HEAD_DIM,
        max_position_embeddings=longest,
        rope_parameters={"rope_theta": THETA, "partial_rotary_factor": width / HEAD_DIM, **parameters},
    )
    with lifted():
        return ROPE_INIT_FUNCTIONS[parameters["rope_type"]](config, **call)


@pytest.mark.parametrize("name", CASES)
def test_frequencies_equal_those_of_transformers(name: str) -> None:
    ours, theirs, longest = CASES[name]
    shape = SHAPE._replace(max_length=longest)
    expected, attention = foreign(theirs, longest, seq_len=longest)
    torch.testing.assert_close(frequencies(ours, shape), expected, rtol=1e-14, atol=0)
    assert scaling(ours).attention(shape) == pytest.approx(attention, rel=1e-15)
    # the case says something: it is not the paper's rotation
    assert not torch.allclose(expected, frequencies({"kind": "none"}, shape)) or attention != 1


@pytest.mark.parametrize("name", ["linear", "yarn", "llama3"])
@pytest.mark.parametrize("width", [8, 20])
def test_frequencies_of_a_part_of_the_head(name: str, width: int) -> None:
    ours, theirs, longest = CASES[name]
    expected, _ = foreign(theirs, longest, width)
    assert len(expected) == width // 2
    torch.testing.assert_close(frequencies(ours, SHAPE._replace(width=width)), expected, rtol=1e-14, atol=0)


def test_ntk_is_the_dynamic_one_at_a_fixed_length() -> None:
    """Theirs at twice its length and factor 2 has base θ · (2 · 2 − 1)^(W / (W − 2))."""
    expected, attention = foreign({"rope_type": "dynamic", "factor": 2.0}, LONGEST, seq_len=2 * LONGEST)
    torch.testing.assert_close(frequencies({"kind": "ntk", "factor": 3.0}, SHAPE), expected, rtol=1e-14, atol=0)
    assert attention == scaling({"kind": "ntk"}).attention(SHAPE) == 1


def test_ntk_slows_the_slowest_pair_by_the_factor_and_the_fastest_not_at_all() -> None:
    ratio = frequencies({"kind": "none"}, SHAPE) / frequencies({"kind": "ntk", "factor": 5.0}, SHAPE)
    assert (ratio[0].item(), ratio[-1].item()) == pytest.approx((1, 5))
    assert (ratio.diff() > 0).all()


@pytest.mark.parametrize("kind", ["yarn", "llama3"])
def test_fast_pairs_are_left_alone_and_slow_ones_slowed(kind: str) -> None:
    settings = {"kind": kind, "factor": 5.0, "original_length": ORIGINAL}
    ratio = frequencies({"kind": "none"}, SHAPE) / frequencies(settings, SHAPE)
    assert (ratio[0].item(), ratio[-1].item()) == pytest.approx((1, 5))
    assert (ratio.diff() > -1e-12).all()
    assert ((ratio > 1.01) & (ratio < 4.99)).any()


@pytest.mark.parametrize("original_length", [1, 10**9])
@pytest.mark.parametrize("truncate", [True, False])
def test_yarn_whose_borders_leave_the_head_is_that_of_transformers(original_length: int, truncate: bool) -> None:
    """All pairs turn less than once, or all turn often: the ramp is the wrong way round there, and so here."""
    said = {"factor": 5.0, "truncate": truncate}
    theirs = {"rope_type": "yarn", "original_max_position_embeddings": original_length, **said}
    ours = {"kind": "yarn", "original_length": original_length, **said}
    torch.testing.assert_close(frequencies(ours, SHAPE), foreign(theirs, LONGEST)[0], rtol=1e-14, atol=0)


def test_mscale_of_equal_parts_leaves_the_tables_alone() -> None:
    """DeepSeek-V3 (both 1): all of the sharpening is in the scale of its scores."""
    assert scaling({"kind": "yarn", "mscale": 1.0, "mscale_all_dim": 1.0}).attention(SHAPE) == 1
    assert scaling({"kind": "yarn"}).attention(SHAPE) == pytest.approx(0.1 * math.log(4) + 1)


def test_the_longest_row_of_the_config_chooses_the_list() -> None:
    settings = {"kind": "longrope", "short_factor": SHORT, "long_factor": LONG, "original_length": ORIGINAL}
    for longest, factors in ((ORIGINAL, SHORT), (ORIGINAL + 1, LONG)):
        found = frequencies(settings, SHAPE._replace(max_length=longest))
        torch.testing.assert_close(frequencies({"kind": "none"}, SHAPE) / found, torch.tensor(factors, dtype=F64))


@pytest.mark.parametrize(
    "settings, message",
    [
        (
            {"kind": "dynamic"},
            "scaling.kind: unknown rotary scaling 'dynamic' .*legal: linear, llama3, longrope, none, n",
        ),
        *(
            ({"kind": kind, "factor": factor}, f"scaling.factor: {factor} must be above 1")
            for kind in ("linear", "ntk", "yarn", "llama3")
            for factor in (0.9, 1.0)
        ),
        ({"kind": "longrope"}, "scaling.short_factor: null as long_factor is null: .*give one .*use scaling=none"),
        ({"kind": "yarn", "beta_fast": 1.0}, "scaling.beta_fast: 1.0 must be above beta_slow=1.0"),
        ({"kind": "yarn", "mscale": 1.0}, "scaling.mscale: mscale=1.0 has no effect without mscale_all_dim"),
        ({"kind": "yarn", "mscale_all_dim": 1.0}, "scaling.mscale_all_dim: .* has no effect without mscale"),
        (
            {"kind": "yarn", "mscale": 1.0, "mscale_all_dim": 1.0, "attention_factor": 2.0},
            "scaling.attention_factor: 2.0 and mscale=1.0 both say",
        ),
        (
            {"kind": "llama3", "high_frequency_factor": 1.0},
            "scaling.high_frequency_factor: 1.0 must be above low_frequency_factor=1.0",
        ),
        (
            {"kind": "longrope", "long_factor": [1.0, 2.0]},
            "scaling.long_factor: 2 factors for 6 rotary .* each pair, 3",
        ),
        ({"kind": "longrope", "short_factor": [1.0, 0.0, 2.0]}, "scaling.short_factor.1: 0.0 must be above 0"),
    ],
)
def test_refusals(settings: dict[str, Any], message: str) -> None:
    positions = {"kind": "rotary", "scaling": settings}
    with pytest.raises(ConfigError, match=f"positions.{message}"):
        model_config({"kind": "decoder", "dim": 12, "num_heads": 2, "vocab_size": 5}, positions=positions)


def test_ntk_of_a_single_pair_is_refused() -> None:
    positions = {"kind": "rotary", "width": 2, "scaling": "ntk"}
    with pytest.raises(ConfigError, match=r"positions\.scaling\.kind: 'ntk' needs at least 4 rotary channels, not 2"):
        model_config({"kind": "decoder", "dim": 12, "num_heads": 2, "vocab_size": 5}, positions=positions)
