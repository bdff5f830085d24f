"""Foreign rotation settings to ours and back; that the angles are the same is in test_parity.py."""

from typing import Any

import pytest
from transformers import LlamaConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from zoo.config import build
from zoo.errors import ConfigError
from zoo.interop import read_config, write_config
from zoo.interop.rope import modernize
from zoo.models import ModelConfig
from zoo.models.create import model_config
from zoo.nn.positions.rotary_scaling import RotaryShape

YARN = {"rope_type": "yarn", "rope_theta": 1e6, "factor": 4.0, "original_max_position_embeddings": 512}

LLAMA3 = {  # of meta-llama/Llama-3.2-1B
    "rope_type": "llama3",
    "rope_theta": 500_000.0,
    "factor": 32.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}
LONGROPE = {
    "rope_type": "longrope",
    "rope_theta": 1e4,
    "short_factor": [1.0 + n / 9 for n in range(64)],
    "long_factor": [1.0 + n for n in range(64)],
    "original_max_position_embeddings": 512,
}


@pytest.mark.parametrize(
    "rope",
    [
        {"rope_type": "default", "rope_theta": 500.0},
        {"rope_type": "linear", "rope_theta": 500.0, "factor": 3.0},
        {**YARN, "beta_fast": 16.0, "beta_slow": 2.0, "truncate": False},
        {**YARN, "beta_fast": 32.0, "beta_slow": 1.0, "truncate": True, "mscale": 0.7, "mscale_all_dim": 1.1},
        {**YARN, "beta_fast": 32.0, "beta_slow": 1.0, "truncate": True, "attention_factor": 1.5},
        LLAMA3,
        LONGROPE,
        {**LONGROPE, "attention_factor": 1.5},
    ],
)
def test_there_and_back(rope: dict[str, Any]) -> None:
    config = read_config("llama", {"rope_parameters": rope, "max_position_embeddings": 2048})
    assert write_config("llama", config)["rope_parameters"] == rope


def test_the_original_length_is_the_longest_row_where_it_is_not_given() -> None:
    rope = {name: value for name, value in YARN.items() if name != "original_max_position_embeddings"}
    config = read_config("llama", {"rope_parameters": rope, "max_position_embeddings": 300})
    assert config.positions.scaling.original_length == 300  # type: ignore[attr-defined]


@pytest.mark.parametrize("factor", [None, 0.5, 4.0, 7.0])
@pytest.mark.parametrize("attention_factor", [None, 1.5])
def test_factor_of_longrope(factor: float | None, attention_factor: float | None) -> None:
    """It is read for the attention factor alone."""
    rope = {**LONGROPE, "factor": factor, "attention_factor": attention_factor}
    foreign = LlamaConfig(rope_parameters=dict(rope), max_position_embeddings=2048)
    ours = read_config("llama", {"rope_parameters": rope, "max_position_embeddings": 2048}).positions
    expected = ROPE_INIT_FUNCTIONS["longrope"](foreign)[1]
    assert ours.scaling.attention(RotaryShape(1e4, 128, 2048)) == pytest.approx(expected)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "head_dim, width", [(head_dim, width) for head_dim in range(2, 99) for width in range(2, head_dim + 1, 2)][::29]
)
def test_every_width_comes_back(head_dim: int, width: int) -> None:
    config = build(
        ModelConfig,
        {
            "kind": "decoder",
            "dim": head_dim,
            "num_heads": 1,
            "block": "parallel",
            "vocab_size": 5,
            "positions": {"kind": "rotary", "width": None if width == head_dim else width},
            "norm": {"kind": "layer_norm"},
            "heads": {"language_model": {"kind": "language_model"}},
        },
    )
    written = write_config("gpt_neox", config)
    assert read_config("gpt_neox", written).positions == config.positions


def test_older_spellings() -> None:
    older = {"rope_theta": 500.0, "rope_scaling": {"type": "linear", "factor": 2.0}}
    assert modernize(older) == {"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 500.0}}
    assert modernize({"rope_scaling": None}) == {}
    with pytest.raises(ConfigError, match="contradicts"):
        modernize({"rope_theta": 500.0, "rope_parameters": {"rope_theta": 600.0}})


@pytest.mark.parametrize(
    "rope, field",
    [
        ({"rope_type": "dynamic", "factor": 2.0}, "rope_type"),
        ({"rope_type": "longrope", "factor": 2.0}, "short_factor"),
        ({"rope_type": "llama3", "factor": 2.0, "low_freq_factor": 1.0}, "high_freq_factor"),
        ({"rope_type": "linear"}, "factor"),
        ({"rope_type": "linear", "factor": 2.0, "beta_fast": 2.0}, "beta_fast"),
        ({"rope_type": "default", "spin": 2.0}, "spin"),
    ],
)
def test_what_is_not_covered(rope: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_config("llama", {"rope_parameters": rope})
    assert caught.value.key == f"rope_parameters.{field}"


def test_a_scaling_without_a_foreign_name() -> None:
    with pytest.raises(ConfigError, match=r"positions\.scaling\.kind: 'ntk' has no foreign rope_type"):
        write_config("llama", model_config("llama-nano", positions={"kind": "rotary", "scaling": "ntk"}))


def test_lists_that_are_not_spelled_out() -> None:
    scaling = {"kind": "longrope", "long_factor": [2.0, 3.0]}
    config = model_config("llama-nano", head_dim=4, positions={"kind": "rotary", "scaling": scaling})
    with pytest.raises(ConfigError, match=r"positions\.scaling\.short_factor: is null; a foreign config spells it out"):
        write_config("llama", config)


@pytest.mark.parametrize("rope_type", ["linear", "yarn", "llama3"])
def test_a_factor_of_one_is_no_scaling(rope_type: str) -> None:
    rope = {"rope_type": rope_type, "factor": 1.0}
    if rope_type == "llama3":
        rope |= {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64}
    config = read_config("llama", {"rope_parameters": rope})
    assert config.positions.scaling.kind == "none"  # type: ignore[attr-defined]
